"""An agent that watches the application is started in each worker, after the fork."""

import os
import threading

workers = 2
preload_app = True


class Agent:
    started_in = None

    def start(self, name):
        self.started_in = os.getpid()
        self.name = name


agent = Agent()


def post_fork(server, worker):
    agent.start(server.proc_name)
    server.log.info("The agent watches worker %s", worker.pid)


def post_worker_init(worker):
    assert agent.started_in == worker.pid
    worker.lock = threading.Lock()


def pre_request(worker, req):
    with worker.lock:
        worker.log.debug("%s %s", req.method, req.path)
