"""Keeps memory, and says who answers.

`/fill/MIB` sees to it that the worker holds so many MiB; `/fill/MIB/NAME` does, leaves a
file `NAME.started`, and answers when the test has made a file `NAME`.
"""

import gc
import os
import time

held = []
# By itself it would find it at some time or other.
gc.disable()


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


def litter(size):
    """Makes garbage of so many MiB that only the garbage collector finds."""
    # Many small pieces, so that the allocator does not give them back as whole mappings.
    pieces = [bytes(1000) for _ in range(size << 10)]
    pieces.append(pieces)
