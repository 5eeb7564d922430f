"""The applications of the benchmark, one for each workload."""

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


def __getattr__(name):
    """`flask`, imported only where it is served."""
    if name != "flask":
        raise AttributeError(name)
    from flask import Flask, jsonify

    app = Flask(__name__)
    app.route("/")(lambda: jsonify(message="Hello, World!"))
    return app
