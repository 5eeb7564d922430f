"""A fork server: the master alone starts it, as `PYTHON THIS_FILE`.

Python compiles this file at each start, which takes memory in every process of a site: the
rest is in a module, whose bytecode is kept.
"""

import sys

if getattr(sys.flags, "safe_path", False):
    # By PYTHONSAFEPATH: Python has not put this folder first.
    sys.path.insert(0, __file__.rpartition("/")[0])

import rgunicorn_start

sys.exit(rgunicorn_start.main(rgunicorn_start.compile_package))
