"""Shows the environ it was called with."""

import json


def app(environ, start_response):
    shown = {
        key: value if isinstance(value, (str, int, bool, tuple)) else type(value).__name__
        for key, value in environ.items()
    }
    shown["the type of the environ"] = type(environ).__name__
    shown["values that are no latin-1 text"] = sorted(
        key for key, value in environ.items() if "." not in key and not is_native(value)
    )
    body = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def is_native(value):
    return type(value) is str and all(ord(character) < 256 for character in value)
