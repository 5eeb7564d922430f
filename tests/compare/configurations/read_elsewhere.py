"""Values from a file beside it; another module has the defaults."""

import configparser
import types

defaults = types.SimpleNamespace(workers=1, threads=2, timeout=15)
parser = configparser.ConfigParser()
parser.read_string("[web]\nworkers = 2\nthreads = 3\n")

workers = parser.getint("web", "workers", fallback=defaults.workers)
threads = parser.getint("web", "threads", fallback=defaults.threads)
timeout = parser.getint("web", "timeout", fallback=defaults.timeout)
worker_class = "sync" if threads == 1 else "gthread"
del parser
