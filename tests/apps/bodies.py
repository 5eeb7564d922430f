"""Reads the request body in the way the path names.

`/echo/WAY` sends it back, `/digest/WAY` says how long it was and its SHA-256.
"""

import hashlib
import json


def read(stream):
    return [stream.read()]


def read_minus_one(stream):
    return [stream.read(-1)]


def read_some(stream):
    pieces = []
    while piece := stream.read(1000):
        assert len(piece) <= 1000
        pieces.append(piece)
    return pieces


def readline(stream):
    lines = []
    while line := stream.readline():
        lines.append(line)
    return lines


def readline_some(stream):
    lines = []
    while line := stream.readline(10):
        assert len(line) <= 10
        lines.append(line)
    return lines


def readlines(stream):
    return stream.readlines()


def readlines_hint(stream):
    lines = []
    while more := stream.readlines(20):
        lines += more
    return lines


def iterate(stream):
    return list(stream)


def mixed(stream):
    return [stream.read(3), stream.readline(), *stream]


def twice(stream):
    first = stream.read()
    assert stream.read() == b"" and stream.readline() == b"" and stream.readlines() == []
    return [first]


def nothing(stream):
    return []


WAYS = {
    "read": read,
    "read-minus-one": read_minus_one,
    "read-some": read_some,
    "readline": readline,
    "readline-some": readline_some,
    "readlines": readlines,
    "readlines-hint": readlines_hint,
    "iterate": iterate,
    "mixed": mixed,
    "twice": twice,
    "nothing": nothing,
}


def app(environ, start_response):
    _, what, way = environ["PATH_INFO"].split("/")
    stream = environ["wsgi.input"]
    if what == "digest":
        digest, length = hashlib.sha256(), 0
        while piece := stream.read(65536):
            digest.update(piece)
            length += len(piece)
        body = json.dumps({"length": length, "sha256": digest.hexdigest()}).encode()
    elif what == "pieces":
        body = json.dumps([piece.decode("latin-1") for piece in WAYS[way](stream)]).encode()
    else:
        body = b"".join(WAYS[way](stream))
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]
