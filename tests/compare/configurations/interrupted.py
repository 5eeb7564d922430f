"""What those on call see of a worker that has to leave at once."""

import traceback

workers = 1
graceful_timeout = 3
loglevel = "warning"


def worker_int(worker):
    with open("interrupted", "a") as file:
        traceback.print_stack(file=file)
    worker.log.warning("Worker %s is interrupted", worker.pid)


def worker_exit(server, worker):
    with open("left", "a") as file:
        file.write(f"{worker.alive}\n")


def on_exit(server):
    server.log.warning("%s ends", server.proc_name)
