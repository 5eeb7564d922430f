"""Processor time per request under as much load as wrk can make, directly and behind nginx."""

import contextlib

from . import load, nginx, processor
from .load import Workload
from .servers import Setup, running

WORKLOADS = {
    "hello": Workload("hello", length=14),
    "close": Workload("hello", headers={"Connection": "close"}, length=14),
    "headers": Workload("hello", headers=load.BROWSER, length=14),
    "post": Workload("echo", headers={"Content-Type": "text/plain"}, post=10240, length=10240),
    "big": Workload("big", connections=16, length=1 << 20),
    "flask": Workload("flask"),
    "django": Workload("django"),
}


def direct(workload):
    """How a row is measured whose servers are asked directly."""

    def measure(names, context):
        request = load.request_bytes(workload.headers, workload.post)
        setup = Setup(workload.application, context.workers)
        with running(names, setup, context, request, workload.length) as servers:
            for _ in range(context.rounds):
                for server in servers:
                    measure_once(server, server.address, workload, context)

    return measure


def behind_nginx(names, context):
    """Flask on a unix socket: nginx keeps connections to it alive."""
    workload = WORKLOADS["flask"]
    setup = Setup(workload.application, context.workers, unix=True)
    with running(names, setup, context) as servers, contextlib.ExitStack() as stack:
        try:
            proxy = stack.enter_context(nginx.Nginx([server.address for server in servers]))
        except nginx.Unavailable as reason:
            for server in servers:
                context.absent(server.name, str(reason))
            return
        for _ in range(context.rounds):
            for server, port in zip(servers, proxy.ports):
                measure_once(server, port, workload, context, proxy)


def measure_once(server, port, workload, context, proxy=None):
    roots = [server.pid] + ([proxy.process.pid] if proxy else [])
    others = processor.Others(roots)
    before = [processor.tree_seconds(root) for root in roots]
    report = load.wrk(port, workload, context.seconds)
    used = [processor.tree_seconds(root) - start for root, start in zip(roots, before)]
    requests = max(1, report["requests"])
    figures = {"cpu": used[0] * 1e6 / requests, "rate": report["requests"] * 1e6 / report["microseconds"],
               "errors": report["errors"]}
    if proxy:
        figures["with_nginx"] = sum(used) * 1e6 / requests
    context.add(server.name, others=others.processors(), **figures)
