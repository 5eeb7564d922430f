"""Takes its time.

`/sleep/SECONDS` sleeps; `/until/NAME` leaves a file `NAME.started` and answers
when the test has made a file `NAME`; `/spin` and `/stuck` never answer.
"""

import os
import time


def app(environ, start_response):
    words = environ["PATH_INFO"].strip("/").split("/")
    if words[0] == "sleep":
        time.sleep(float(words[1]))
    elif words[0] == "until":
        mark(words[1] + ".started")
        while not os.path.exists(words[1]):
            time.sleep(0.01)
        mark(words[1] + ".ended")
    elif words[0] == "stuck":
        mark("stuck.started")
        stuck_here()
    elif words[0] == "spin":
        mark("spin.started")
        while True:
            pass
    body = b"slow but sure, by %d\n" % os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def stuck_here():
    time.sleep(3600)


def mark(name):
    with open(name, "a") as file:
        file.write("%d\n" % os.getpid())
