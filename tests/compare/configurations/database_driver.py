"""A driver that has to be patched in each worker, if it is there at all."""

workers = 2
worker_class = "gthread"
threads = 4
worker_connections = 500


def patch():
    try:
        from psycogreen.gevent import patch_psycopg
    except ImportError:
        return False
    patch_psycopg()
    return True


def post_fork(server, worker):
    worker.patched = patch()
    if not worker.patched:
        worker.log.info("Nothing to patch in worker %s", worker.pid)
