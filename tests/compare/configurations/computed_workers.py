"""As many workers as the machine bears, from a function of the file's own."""

import multiprocessing

MOST = 3


def count(per_core=2):
    return min(MOST, per_core * multiprocessing.cpu_count() + 1)


workers = count()
max_requests = 1000
max_requests_jitter = 50
backlog = 512
keepalive = 5
timeout = 120
graceful_timeout = 20
