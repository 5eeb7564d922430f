"""The servers that are measured: how each is started, when it is ready, and how it is stopped."""

import collections
import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import time

from . import load, processor
from .paths import APPS, PYTHON, SCRIPTS, TARGET, compiled

TITLES = {
    "yardstick": "epoll loop in C",
    "rgunicorn-preload": "rgunicorn, `preload`",
    "rgunicorn-gthread": "rgunicorn, 4 threads",
    "rgunicorn-file": "rgunicorn, access log in a file",
    "rgunicorn-journal": "rgunicorn, access log in the journal",
    "gunicorn": "Gunicorn, sync",
    "gunicorn-preload": "Gunicorn, sync, `preload`",
    "gunicorn-gthread": "Gunicorn, 4 threads",
    "gunicorn-file": "Gunicorn, access log in a file",
    "granian-1": "granian, 1 thread",
    "granian-4": "granian, 4 threads",
}

JOURNAL = "/run/systemd/journal/socket"

# What a row asks of its servers: `limit` is worker_connections, `keep_alive` is in seconds, and None is the server's
# own default.
Setup = collections.namedtuple("Setup", "application workers keep_alive limit unix", defaults=(2, None, None, False))


class Absent(Exception):
    """A server that could not be started, and why."""


def rgunicorn(variant, setup, address, binary):
    command = [binary, "--python", PYTHON, "--log-level", "warning", "--workers", str(setup.workers), "--bind", address]
    return command + gunicorn_flags(variant, setup) + ["applications:" + setup.application]


def gunicorn(variant, setup, address, _binary):
    command = [os.path.join(SCRIPTS, "gunicorn"), "--no-control-socket", "--log-level", "warning", "--workers",
               str(setup.workers), "--bind", address]
    return command + gunicorn_flags(variant, setup) + ["applications:" + setup.application]


def gunicorn_flags(variant, setup):
    flags = {"gthread": ["-k", "gthread", "--threads", "4"], "preload": ["--preload"],
             "file": ["--access-logfile", os.path.join(TARGET, "bench-access.log")],
             "journal": ["--access-logfile", "journal"]}.get(variant, [])
    if setup.keep_alive is not None:
        flags = flags + ["--keep-alive", str(setup.keep_alive)]
    if setup.limit is not None:
        flags = flags + ["--worker-connections", str(setup.limit)]
    return flags


def granian(variant, setup, address, _binary):
    command = [os.path.join(SCRIPTS, "granian"), "--interface", "wsgi", "--no-ws", "--log-level", "warning",
               "--workers", str(setup.workers), "--blocking-threads", variant]
    if setup.limit is not None:
        command += ["--backlog", str(max(128, setup.limit)), "--backpressure", str(setup.limit)]
    host, _, port = address.partition(":")
    where = ["--uds", port] if host == "unix" else ["--host", host, "--port", port]
    return command + where + ["applications:" + setup.application]


def peer(name):
    def command(_variant, setup, address, _binary):
        address = address if setup.unix else address.partition(":")[2]
        return [PYTHON, os.path.join(APPS, "peer.py"), name, setup.application, address, str(setup.workers)]

    return command


def yardstick(_variant, setup, address, _binary):
    return [compiled("yardstick.c"), address.partition(":")[2], str(setup.workers)]


COMMANDS = {"rgunicorn": rgunicorn, "gunicorn": gunicorn, "granian": granian, "bjoern": peer("bjoern"),
            "fastwsgi": peer("fastwsgi"), "yardstick": yardstick}


class Server:
    """A server that runs."""

    def __init__(self, name, setup, binary):
        self.name = name
        kind, _, variant = name.partition("-")
        if setup.unix:
            self.folder = tempfile.TemporaryDirectory(prefix="rgunicorn-bench-")
            self.address = os.path.join(self.folder.name, "socket")
            address = "unix:" + self.address
        else:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.address = probe.getsockname()[1]
            address = "127.0.0.1:%d" % self.address
        self.log_path = os.path.join(TARGET, "bench-%s.log" % name)
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(("PYTHON", "LISTEN_", "NOTIFY_", "GUNICORN_", "GRANIAN_"))}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        command = COMMANDS[kind](variant, setup, address, binary)
        with open(self.log_path, "wb") as log:
            self.started = time.monotonic()
            self.process = subprocess.Popen(command, cwd=APPS, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment)

    @property
    def pid(self):
        return self.process.pid

    def wait(self, request=load.GET, length=None, pause=0.02):
        """Waits for the first right answer; returns the seconds since the start of the server."""
        while time.monotonic() < self.started + 30 and self.process.poll() is None:
            answer = load.ask(self.address, request)
            if answer is not None:
                took = time.monotonic() - self.started
                status, body = answer
                if status != 200 or (length is not None and len(body) != length):
                    raise Absent("answers %d with %d bytes" % (status, len(body)))
                return took
            time.sleep(pause)
        with open(self.log_path, errors="replace") as log:
            lines = [line.strip() for line in log if line.strip()]
        raise Absent(lines[0] if lines else "does not answer")

    def wait_until_idle(self):
        """Waits until all its workers have started and nothing is left to do: for 0.3 s it used next to nothing."""
        end = time.monotonic() + 20
        before = processor.tree_seconds(self.pid)
        while time.monotonic() < end:
            time.sleep(0.3)
            now = processor.tree_seconds(self.pid)
            if now - before <= processor.TICK:
                return
            before = now

    def stop(self):
        """Asks it to leave, and kills after three seconds what is still there."""
        if self.process.poll() is not None:
            # Its process id may be somebody else's by now.
            return
        handles = []
        for pid in processor.process_tree(self.pid):
            with contextlib.suppress(ProcessLookupError):
                handles.append(os.pidfd_open(pid))
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(3)
        for handle in handles:
            if not select.select([handle], [], [], 0)[0]:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
        self.process.wait()


@contextlib.contextmanager
def running(names, setup, context, request=load.GET, length=None):
    """Starts servers and yields those that answer. One that does not, because this version of it has no such worker
    class for example, is noted as absent."""
    started, answering = [], []
    try:
        for name in names:
            if name.endswith("-journal") and not os.path.exists(JOURNAL):
                context.absent(name, "there is no journald here")
                continue
            server = Server(name, setup, context.binary)
            started.append(server)
            try:
                server.wait(request, length)
                answering.append(server)
            except Absent as reason:
                context.absent(name, str(reason))
        for server in answering:
            server.wait_until_idle()
        yield answering
    finally:
        for server in started:
            server.stop()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(TARGET, "bench-access.log"))
