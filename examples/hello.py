"""A small application to try rgunicorn with. It needs nothing but Python.

    target/release/rgunicorn -w 2 --chdir examples hello:app

    curl http://127.0.0.1:8000/                 says which worker answers
    curl http://127.0.0.1:8000/environ?a=1      what the server tells the application
    curl http://127.0.0.1:8000/slow?seconds=3   an answer that takes its time
    curl http://127.0.0.1:8000/stream           an answer in pieces
    curl http://127.0.0.1:8000/echo -d hello    what was sent, back
    curl http://127.0.0.1:8000/error            what the log says of an exception
"""

import os
import time
from urllib.parse import parse_qs

GREETING = "Hello, world!"  # change it, and reload


def index(environ):
    yield f"{GREETING}\nworker process {os.getpid()}\n".encode()


def show_environ(environ):
    for key in sorted(environ):
        if key not in os.environ:
            yield f"{key} = {environ[key]!r}\n".encode()


def slow(environ):
    query = parse_qs(environ["QUERY_STRING"])
    seconds = min(float(query.get("seconds", ["2"])[0]), 60)
    time.sleep(seconds)
    yield f"that took {seconds:g} s\n".encode()


def stream(environ):
    for number in range(1, 6):
        yield f"piece {number}\n".encode()
        time.sleep(0.5)


def echo(environ):
    yield environ["wsgi.input"].read()


def error(environ):
    raise RuntimeError("this is what an exception looks like")


ROUTES = {
    "/": index,
    "/environ": show_environ,
    "/slow": slow,
    "/stream": stream,
    "/echo": echo,
    "/error": error,
}


def app(environ, start_response):
    """The WSGI application (PEP 3333)."""
    page = ROUTES.get(environ["PATH_INFO"])
    if page is None:
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"try {' '.join(ROUTES)}\n".encode()]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return page(environ)
