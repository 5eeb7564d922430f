"""How long answers take: beside slow requests, during reloads, and after a start."""

import signal
import time

from . import load, processor
from .servers import Absent, Server, Setup, running

RELOADS = 5
# Longer than a reload takes on a machine that is not busy otherwise.
SECONDS_BETWEEN_RELOADS = 4


def mixed(workers):
    """How a row is measured in which one request of a hundred takes 0.5 s."""

    def measure(names, context):
        with running(names, Setup("mixed", workers), context) as servers:
            for round_number in range(context.long_rounds):
                for server in servers:
                    others = processor.Others([server.pid])
                    before = processor.tree_seconds(server.pid)
                    with load.Paced(server.address, 32, 200, context.long_seconds, 10, round_number + 1) as client:
                        report = client.report()
                    used = processor.tree_seconds(server.pid) - before
                    context.add(server.name, others=others.processors(), cpu=used * 1e6 / report["requests"],
                                **latencies(report))

    return measure


def latencies(report):
    """The latencies of the fast requests. `client` is how late the client itself was, which no server can help."""
    fast = report["fast"]
    return {"p50": fast.get("p50"), "p99": fast.get("p99"), "longest": fast.get("max"), "errors": report["errors"],
            "closed": report["closed"], "client": report["client"]["p99"]}


def reload(names, context):
    """Django under load, reloaded by SIGHUP again and again."""
    with running(names, Setup("django"), context) as servers:
        for _ in range(context.long_rounds):
            for server in servers:
                others = processor.Others([server.pid])
                seconds = (RELOADS + 1) * SECONDS_BETWEEN_RELOADS
                with load.Paced(server.address, 16, 200, seconds) as client:
                    begin = time.monotonic()
                    done = sum(reload_once(server, begin + number * SECONDS_BETWEEN_RELOADS)
                               for number in range(1, RELOADS + 1))
                    report = client.report()
                context.add(server.name, others=others.processors(), reloads=done, **latencies(report))


def reload_once(server, at):
    """Whether all processes but the first were replaced before the next reload."""
    time.sleep(max(0, at - time.monotonic()))
    old = set(processor.process_tree(server.pid)) - {server.pid}
    server.process.send_signal(signal.SIGHUP)
    while time.monotonic() < at + SECONDS_BETWEEN_RELOADS - 0.2:
        time.sleep(0.1)
        if not old & set(processor.process_tree(server.pid)):
            return True
    return False


def start(names, context):
    """From the start of the program to the first answer of Django, and what starting all workers costs."""
    for _ in range(context.rounds):
        for name in names:
            if context.is_absent(name):
                continue
            server = Server(name, Setup("django", workers=8), context.binary)
            try:
                others = processor.Others([server.pid])
                first = server.wait(pause=0.002)
                server.wait_until_idle()
                context.add(name, others=others.processors(), first=first * 1e3,
                            cpu=processor.tree_seconds(server.pid))
            except Absent as reason:
                context.absent(name, str(reason))
            finally:
                server.stop()
