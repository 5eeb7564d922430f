"""The application of the comparisons: its answer is the environ."""

import json

# All answers have this length: sizes can be compared.
LENGTH = 4000


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise ValueError("as it was told to")
    shown = {
        name: value if isinstance(value, (bool, int, str, tuple)) else "an object"
        for name, value in environ.items()
    }
    shown["the body"] = environ["wsgi.input"].read().decode("latin-1")
    answer = json.dumps(shown).ljust(LENGTH).encode()
    fields = [("Content-Type", "application/json")]
    if path != "/chunked":
        fields.append(("Content-Length", str(LENGTH)))
    start_response("200 OK", fields)
    return [answer]
