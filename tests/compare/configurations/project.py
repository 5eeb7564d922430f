"""A framework's project: its folder, its environment, its name."""

import os
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
sys.path.insert(0, str(HERE / "src"))
warnings.filterwarnings("ignore", category=DeprecationWarning)
os.environ.setdefault("SHOP_SETTINGS", "shop.settings.production")

wsgi_app = "compared:application"
chdir = str(HERE)
pythonpath = "src,lib"
raw_env = [f"SHOP_ROOT={HERE.name and 'here'}", "LC_TIME=C"]
proc_name = "shop-web"
workers = 2
max_requests = 500
umask = 0o027
