"""How long requests take, by hooks around them, with a format that proxies like."""

import time

workers = 1
loglevel = "debug"
accesslog = "access.log"
access_log_format = '{"method": "%(m)s", "url": "%(U)s", "query": "%(q)s", "status": %(s)s, "length": %(B)s, "protocol": "%(H)s", "took": %(M)s}'


def pre_request(worker, req):
    req.began = time.monotonic()


def post_request(worker, req, environ, resp):
    took = time.monotonic() - req.began
    worker.log.debug("%s %s: %s in %.3f s", req.method, req.uri, resp.status_code, took)
