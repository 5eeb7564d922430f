"""The applications of the benchmark."""

import time

BODY = b"Hello, World!\n"
BIG = b"x" * (1 << 20)
TEXT = ("Content-Type", "text/plain")


def hello(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", "14")])
    return [BODY]


def echo(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    data = environ["wsgi.input"].read(length) if length else b""
    start_response("200 OK", [TEXT, ("Content-Length", str(len(data)))])
    return [data]


def big(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", str(len(BIG)))])
    return [BIG]


def mixed(environ, start_response):
    """Fast, but for /slow, which waits as for a database."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.5)
    return hello(environ, start_response)


def burn(environ, start_response):
    """Takes 1 ms of processor time, however many processes share the processor."""
    end = time.thread_time() + 0.001
    while time.thread_time() < end:
        pass
    return hello(environ, start_response)


def make_flask():
    from flask import Flask, jsonify

    app = Flask(__name__)
    app.route("/")(lambda: jsonify(message="Hello, World!"))
    return app


def make_django():
    import django_site

    return django_site.application


def __getattr__(name):
    """A framework is imported only by those that serve it."""
    makers = {"flask": make_flask, "django": make_django}
    if name not in makers:
        raise AttributeError(name)
    globals()[name] = application = makers[name]()
    return application
