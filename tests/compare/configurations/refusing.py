"""Requests that a hook turns away, before the application sees them."""

workers = 1
max_requests = 0
loglevel = "error"


class Refused(Exception):
    pass


def pre_request(worker, req):
    if req.path == "/post":
        raise Refused(req.path)


def post_request(worker, req, environ, resp):
    if resp is None:
        with open("refused", "a") as file:
            file.write(f"{req.method} {req.uri} {len(environ)}\n")
