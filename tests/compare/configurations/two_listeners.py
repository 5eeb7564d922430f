"""The proxy beside it comes over a unix socket, the monitoring over TCP."""

import os

bind = [f"127.0.0.1:{os.environ['PORT']}", "unix:site.sock"]
umask = 0o007
workers = 2
keepalive = 75


def on_starting(server):
    with open("listeners", "w") as file:
        file.write("\n".join(str(address) for address in server.address))


def post_fork(server, worker):
    for listener in server.LISTENERS:
        worker.log.info("Worker %d listens on %s", worker.age, listener)
