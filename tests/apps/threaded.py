"""For several threads.

`/together/COUNT` answers when so many requests are in it at once; `/until/NAME` leaves a
file `NAME.started` and answers when the test has made a file `NAME`; `/stuck` never
answers, `/spin` neither, nor `/hold`, which keeps the GIL; `/hold_later` does that in
another thread when there is a file `hold`. `/local` counts the requests of its thread. `/fork` answers with
what a child wrote. `/stream` makes a body without end. `/write` uses `write()`.
"""

import atexit
import ctypes
import os
import signal
import sys
import threading
import time

signal.signal(signal.SIGUSR2, lambda *_: None)
LOCAL = threading.local()
INSIDE = set()


@atexit.register
def leave():
    with open("exited", "a") as file:
        file.write("%d\n" % os.getpid())


def together(count):
    INSIDE.add(threading.get_ident())
    deadline = time.monotonic() + 30
    while len(INSIDE) < int(count) and time.monotonic() < deadline:
        time.sleep(0.001)
    return "%d" % len(INSIDE)


def until(name):
    mark(name + ".started")
    while not os.path.exists(name):
        time.sleep(0.01)
    return "%d" % os.getpid()


def stuck():
    mark("stuck.started")
    stuck_here()


def stuck_here():
    time.sleep(3600)


def hold():
    """Keeps the interpreter's lock, as a C extension may."""
    mark("hold.started")
    ctypes.PyDLL(None).sleep(3600)


def hold_later():
    """The same in a thread that has nothing to do with a request, once a file `hold` is there."""

    def wait_and_hold():
        while not os.path.exists("hold"):
            time.sleep(0.01)
        hold()

    threading.Thread(target=wait_and_hold, daemon=True).start()
    return "%d" % os.getpid()


def sleep(seconds):
    time.sleep(float(seconds))
    return "slept"


def spin():
    mark("spin.started")
    while True:
        pass


def local():
    LOCAL.count = getattr(LOCAL, "count", 0) + 1
    return "%s %d %s" % (threading.current_thread().name, LOCAL.count, threading.current_thread().daemon)


def fork():
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"%d threads" % threading.active_count())
        os._exit(7)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    return "%s, status %d" % (text, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def returning():
    """The child comes back from the application."""
    pid = os.fork()
    if pid == 0:
        return "from the child"
    return "status %d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def leaving():
    sys.exit(3)


def pid():
    return "%d" % os.getpid()


def stream():
    block = b"x" * 1000000
    while True:
        yield block


def mark(name):
    with open(name, "a") as file:
        file.write("%d\n" % os.getpid())


def app(environ, start_response):
    words = environ["PATH_INFO"].strip("/").split("/")
    if words[0] == "multithread":
        body = repr(environ["wsgi.multithread"])
    elif words[0] == "stream":
        start_response("200 OK", [])
        return stream()
    elif words[0] == "write":
        write = start_response("200 OK", [("Content-Length", "10")])
        write(b"01234")
        time.sleep(0.001)
        write(b"56789")
        return []
    else:
        body = globals()[words[0] or "pid"](*words[1:])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body.encode()]
