"""Keeps memory, and says who answers.

`/fill/MIB` sees to it that the worker holds so many MiB; `/fill/MIB/NAME` does, leaves a
file `NAME.started`, and answers when the test has made a file `NAME`.
"""

import os
import time

held = []


def app(environ, start_response):
    words = environ["PATH_INFO"].strip("/").split("/")
    if words[0] == "fill":
        missing = int(words[1]) - sum(map(len, held)) // (1 << 20)
        if missing > 0:
            held.append(os.urandom(1 << 20) * missing)
        if len(words) > 2:
            with open(words[2] + ".started", "a") as file:
                file.write("%d\n" % os.getpid())
            while not os.path.exists(words[2]):
                time.sleep(0.01)
    body = b"%d" % os.getpid()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
