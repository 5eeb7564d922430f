"""A platform gives the port and the number of workers; a file says to the proxy beside it
that the site is ready."""

import os

bind = "0.0.0.0:" + os.environ.get("PORT", "8000")
preload_app = True
capture_output = True
enable_stdio_inheritance = True


def when_ready(server):
    open("initialized", "w").close()


def on_exit(server):
    os.unlink("initialized")
