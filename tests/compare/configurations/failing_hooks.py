"""Hooks that fail where that ends nothing."""

workers = 2


def post_request(worker, req, environ, resp):
    raise KeyError(req.path)


def worker_exit(server, worker):
    raise RuntimeError("on the way out")
