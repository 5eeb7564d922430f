"""Says who answers.

`/until/NAME` leaves a file `NAME.started` and answers when the test has made a
file `NAME`.
"""

import os
import time


def app(environ, start_response):
    words = environ["PATH_INFO"].strip("/").split("/")
    if words[0] == "until":
        with open(words[1] + ".started", "a") as file:
            file.write("%d\n" % os.getpid())
        while not os.path.exists(words[1]):
            time.sleep(0.01)
    body = b"%d" % os.getpid()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
