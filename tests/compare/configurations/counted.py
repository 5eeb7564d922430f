"""Who came and went, in files; for those on call."""

workers = 2
reuse_port = False
graceful_timeout = 5


def _count(name):
    with open(f"count.{name}", "a") as file:
        file.write(".")


def nworkers_changed(server, new_value, old_value):
    _count("changed")


def pre_fork(server, worker):
    _count("forks")


def child_exit(server, worker):
    _count("exits")


def on_reload(server):
    _count("reloads")
    server.log.warning("Reloading with %d workers", server.num_workers)
