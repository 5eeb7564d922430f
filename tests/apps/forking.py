"""Forks in every way there is: the path names it."""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import threading
import time

from slow import mark

FORK = multiprocessing.get_context("fork")


def raw_fork():
    """A fork that Python does not know of."""
    return ctypes.PyDLL(None).fork()


def sleep():
    time.sleep(600)


def double(number):
    return 2 * number


def process_terminate(environ):
    process = FORK.Process(target=sleep)
    process.start()
    process.terminate()
    process.join(10)
    if process.exitcode is None:
        process.kill()
        return "terminate() did nothing"
    return "exit code %d" % process.exitcode


def pool(environ):
    with FORK.Pool(2) as workers:
        return "%s" % workers.map(double, [1, 2, 3])


def waited_for(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def thread(environ):
    """Forks in another thread than the one that serves."""
    outcomes = []

    def fork():
        pid = os.fork()
        if pid == 0:
            os._exit(5)
        outcomes.append(waited_for(pid))

    forking = threading.Thread(target=fork)
    forking.start()
    forking.join()
    return "%s" % outcomes


def what_a_child_has(fork):
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        os.close(reader)
        with open("/proc/self/status") as status:
            fields = dict(line.split(":", 1) for line in status if ":" in line)
        found = {
            "caught": int(fields["SigCgt"], 16),
            "ignored": int(fields["SigIgn"], 16),
            "blocked": int(fields["SigBlk"], 16),
            "descriptors": sorted(targets()),
            "wakeup": signal.set_wakeup_fd(-1),
            "handlers": {
                name: str(signal.getsignal(getattr(signal, name)))
                for name in ("SIGTERM", "SIGQUIT", "SIGINT", "SIGUSR2")
            },
        }
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    waited_for(pid)
    return text


def targets():
    for name in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink("/proc/self/fd/" + name)
        except FileNotFoundError:
            pass


def show_child(environ):
    return what_a_child_has(os.fork)


def show_raw_child(environ):
    return what_a_child_has(raw_fork)


def surviving(environ):
    """The child stays when its worker leaves."""
    if os.fork() == 0:
        mark("child")
        sleep()
    return "left"


def raw_and_wait(environ):
    """The child waits in Python code, as a signal finds it."""
    pid = raw_fork()
    if pid == 0:
        mark("raw")
        while True:
            time.sleep(0.05)
    mark("raw.parent")
    return "%d" % waited_for(pid)


def raw_and_return(environ):
    """The child comes back from the application; its parent never does."""
    if raw_fork() == 0:
        return "answered by the child"
    mark("stuck.started")
    sleep()


def exiting_with_a_message(environ):
    """`sys.exit()` in a child that comes back to the server, in each form it has."""
    statuses = []
    for code in (None, 3, "cannot go on"):
        pid = os.fork()
        if pid == 0:
            sys.exit(code)
        statuses.append(waited_for(pid))
    return "%s" % statuses


def raw_and_return_in_a_body(environ):
    """As above, in the middle of a body."""
    yield b"first "
    if raw_fork() == 0:
        yield b"by the child"
        return
    yield b"by the worker"


def own_handler(environ):
    """A handler of the application's own stays the child's."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(9))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"runs")
        sleep()
    os.read(reader, 4)
    os.kill(pid, signal.SIGTERM)
    return "exit code %d" % waited_for(pid)


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/").replace("-", "_")
    body = globals()[name](environ) if name else "fine"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()] if isinstance(body, str) else body
