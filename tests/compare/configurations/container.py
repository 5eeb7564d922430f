"""What images of containers bring along: everything can be said by variables, and the
result is printed."""

import json
import multiprocessing
import os

per_core = float(os.getenv("WORKERS_PER_CORE", "1"))
default = max(int(per_core * multiprocessing.cpu_count()), 2)
wanted = os.getenv("WEB_CONCURRENCY")
most = int(os.getenv("MAX_WORKERS", "0")) or None

workers = int(wanted) if wanted else min(default, most or default)
loglevel = os.getenv("LOG_LEVEL", "info")
accesslog = os.getenv("ACCESS_LOG", "access.log") or None
errorlog = os.getenv("ERROR_LOG", "-") or None
worker_tmp_dir = "/dev/shm"
graceful_timeout = int(os.getenv("GRACEFUL_TIMEOUT", "120"))
timeout = int(os.getenv("TIMEOUT", "120"))
keepalive = int(os.getenv("KEEP_ALIVE", "5"))

log_data = {"loglevel": loglevel, "workers": workers, "per_core": per_core}
print(json.dumps(log_data))
