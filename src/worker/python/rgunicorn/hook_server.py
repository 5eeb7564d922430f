"""The server and its workers, as hooks see them."""

import os
import sys
from _signal import SIGHUP, SIGQUIT, SIGTERM


class Server:
    """What Gunicorn calls the arbiter."""

    # The exit statuses of workers that do not begin to serve.
    WORKER_BOOT_ERROR = 3
    APP_LOAD_ERROR = 4

    # There is one master, also after another program has taken over.
    reexec_pid = master_pid = 0
    dirty_arbiter_pid = 0
    dirty_arbiter = None

    # The file is the master's.
    pidfile = None

    def __init__(self, app):
        """As a script makes one that starts the server with it."""
        self.app = app
        self.cfg = app.cfg
        self.log = None
        self.LISTENERS = []
        self.WORKERS = {}
        self.pid = None

    def run(self):
        """Serves. Does not return."""
        from rgunicorn.embedding import start

        start(self.app)

    @classmethod
    def of(cls, cfg, log, addresses, count, master):
        """The one of the server that runs."""
        embedding = sys.modules.get("rgunicorn.embedding")
        app = (embedding and embedding.application) or Application(cfg)
        server = cls.__new__(cls)
        server._begin(app, cfg, log, addresses, count, master)
        return server

    def _begin(self, app, cfg, log, addresses, count, master):
        self.app = app
        self.cfg = cfg
        self.log = log
        self.address = addresses
        self.LISTENERS = [Listener(address) for address in addresses]
        # Those that this fork server has forked, by their pids.
        self.WORKERS = {}
        self.num_workers = count
        self.pid = master
        self.ppid = _parent_of(master)
        self.master_name = "Master"
        self.proc_name = cfg.proc_name
        self.timeout = cfg.timeout
        self.worker_age = 0
        self.worker_class = cfg.worker_class
        self.START_CTX = {"args": [sys.executable, *sys.argv], "cwd": os.getcwd(), 0: sys.executable}

    # Orders go to the master as they come from outside.

    def reload(self):
        os.kill(self.pid, SIGHUP)

    def stop(self, graceful=True):
        os.kill(self.pid, SIGTERM if graceful else SIGQUIT)

    def halt(self, reason=None, exit_status=0):
        """The exit status is the master's own business."""
        if reason is not None:
            self.log.error("Reason: %s", reason)
        self.stop()

    def kill_worker(self, pid, sig):
        os.kill(pid, sig)

    def kill_workers(self, sig):
        for pid in list(self.WORKERS):
            self.kill_worker(pid, sig)

    def wakeup(self):
        """The master sees by itself what there is to do."""


class Application:
    """The application that is served."""

    def __init__(self, cfg):
        self.cfg = cfg
        self.callable = None

    def wsgi(self):
        """The WSGI callable; loaded here if it was not yet."""
        if self.callable is None:
            self.callable = self._load()
        return self.callable

    def _load(self):
        if self.cfg.paste:
            from rgunicorn.paste import get_wsgi_app

            return get_wsgi_app(f"config:{self.cfg.paste}", defaults=self.cfg.paste_global_conf)
        from rgunicorn.application import load

        return load(self.cfg.wsgi_app)


class Listener:
    """A socket that the server listens on. The sockets themselves are the master's and the
    workers'."""

    def __init__(self, address):
        self._address = address

    def getsockname(self):
        return self._address

    def __str__(self):
        if isinstance(self._address, str):
            return f"unix:{self._address}"
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _parent_of(pid):
    """The parent of a process, which need not be our own."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


class Worker:
    """A worker, in its own process or as its server knows it."""

    def __init__(self, age, server):
        self.age = age
        self.pid = "[booting]"
        self.ppid = server.pid
        self.app = server.app
        self.cfg = server.cfg
        self.log = server.log
        # How often Gunicorn's workers show that they live.
        self.timeout = server.timeout / 2
        self.sockets = server.LISTENERS
        self.booted = False
        self.aborted = False
        self.alive = True
        self.wsgi = None
        self.tmp = Temporary()
        self.max_requests = server.cfg.max_requests or sys.maxsize
        # In the worker, what says how many requests it has answered.
        self._count = None
        self._more = 0

    @property
    def nr(self):
        """How many requests it has handled."""
        return self._more + (self._count() if self._count else 0)

    @nr.setter
    def nr(self, value):
        self._more += value - self.nr

    def __str__(self):
        return f"<Worker {self.pid}>"

    def notify(self):
        """The server sees by itself that a worker lives."""


class Temporary:
    """The file by which Gunicorn's workers show that they live."""

    def notify(self):
        """The server sees by itself that a worker lives."""

    def close(self):
        """There is no such file."""
