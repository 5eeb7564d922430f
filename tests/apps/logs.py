"""Writes to every place a log line can come from."""

import logging
import os
import sys
import threading
import warnings

logger = logging.getLogger("shop.orders")


def fail_deeply(depth):
    if depth:
        fail_deeply(depth - 1)
    raise KeyError("the traceback of a request")


def app(environ, start_response):
    what = environ["PATH_INFO"].strip("/")
    if what == "print":
        print("printed by the app")
    elif what == "stderr":
        sys.stderr.write("written to stderr by the app\n")
    elif what == "descriptor":
        os.write(2, b"written to descriptor 2 by the app\n")
    elif what == "logging":
        logging.basicConfig(level=logging.INFO)
        logger.warning("logged by the app")
    elif what == "unconfigured":
        logging.getLogger("bare").warning("logged without any configuration")
    elif what == "errors":
        errors = environ["wsgi.errors"]
        errors.write("written to wsgi.errors\n")
        errors.writelines(["first of two lines\n", "second of two lines\n"])
        errors.flush()
    elif what == "warning":
        warnings.warn("warned by the app")
    elif what == "thread":
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    elif what == "traceback":
        fail_deeply(3)
    elif what == "flood":
        for number in range(2000):
            print("flood %06d %s" % (number, "x" * 200))
    elif what == "newline":
        environ["wsgi.errors"].write("a line\nnotice me: READY=1\x1b[31m\n")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"logged\n"]
