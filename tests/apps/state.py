"""Tells who imported it, when, and who answers."""

import json
import os
import sys
import threading
import time

IMPORTED_BY = os.getpid()
IMPORTED_AT = time.time_ns()


def app(environ, start_response):
    body = json.dumps({
        "imported_by": IMPORTED_BY,
        "imported_at": IMPORTED_AT,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "threads": threading.active_count(),
        "cwd": os.getcwd(),
        "path": sys.path,
        "prefix": sys.prefix,
        "executable": sys.executable,
        "argv": sys.argv,
        "environ": dict(os.environ),
        "modules": sorted(sys.modules),
        "uid": os.getuid(),
    }).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
