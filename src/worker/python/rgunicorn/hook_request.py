"""A request and its answer, as hooks see them."""


class Request:
    """A request, as `pre_request` and `post_request` see it."""

    def __init__(self, environ):
        self.method = environ["REQUEST_METHOD"]
        self.uri = environ["RAW_URI"]
        target, _, self.fragment = self.uri.partition("#")
        self.path = target.partition("?")[0]
        self.query = environ["QUERY_STRING"]
        self.scheme = environ["wsgi.url_scheme"]
        major, _, minor = environ["SERVER_PROTOCOL"].rpartition("/")[2].partition(".")
        self.version = (int(major), int(minor or 0))
        self.headers = [
            (name.removeprefix("HTTP_").replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        ]
        port = environ.get("REMOTE_PORT")
        port = None if port is None else int(port)
        self.remote_addr = self.peer_addr = (environ["REMOTE_ADDR"], port)
        self.body = environ["wsgi.input"]
        self.trailers = []

    def _state(self):
        """What a hook may change of it with effect."""
        line = (self.method, self.uri, self.path, self.query, self.scheme)
        return (*line, list(self.headers))

    def _write_changes(self, before, environ):
        """Tells the application what a hook has changed since the state was `before`."""
        method, uri, path, query, scheme, headers = before
        if self.method != method:
            environ["REQUEST_METHOD"] = self.method
        if self.uri != uri:
            environ["RAW_URI"] = self.uri
        if self.path != path:
            environ["PATH_INFO"] = _path_info(self.path, environ["SCRIPT_NAME"])
        if self.query != query:
            environ["QUERY_STRING"] = self.query
        if self.scheme != scheme:
            environ["wsgi.url_scheme"] = self.scheme
        if self.headers != headers:
            values = {}
            for name, value in self.headers:
                key = _key(name)
                if key in values:
                    separator = "; " if key == "HTTP_COOKIE" else ","
                    value = f"{values[key]}{separator}{value}"
                values[key] = value
            for name, _ in headers:
                if _key(name) not in values:
                    environ.pop(_key(name), None)
            environ.update(values)


def _key(name):
    """The variable of the environ that a header becomes."""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def _path_info(path, script_name):
    from urllib.parse import unquote_to_bytes

    try:
        # As the client's bytes are told.
        path = path.encode("latin-1")
    except UnicodeEncodeError:
        path = path.encode("utf-8")
    path = unquote_to_bytes(path).decode("latin-1")
    rest = path.removeprefix(script_name)
    if script_name and (rest == path or rest[:1] not in ("", "/")):
        raise ValueError(
            f"pre_request has changed the path to {path!r}, "
            f"but the application is mounted at {script_name!r}"
        )
    return rest


class Response:
    """What was answered, as `post_request` sees it."""

    def __init__(self, request, status, headers, sent):
        self.status = status
        self.status_code = int(status[:3]) if status else None
        self.headers = headers or []
        lengths = (value for name, value in self.headers if name.lower() == "content-length")
        length = next(lengths, None)
        self.response_length = None if length is None else int(length)
        self.headers_sent = status is not None
        # The engine leaves out bodies that must not be there (RFC 9110, section 6.4.1).
        may_have_body = request.method != "HEAD" and self.status_code not in (None, 204, 304)
        self.sent = sent if may_have_body else 0
        self.chunked = may_have_body and length is None and request.version >= (1, 1)
