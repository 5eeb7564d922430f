"""How evenly the workers share connections and work."""

import collections
import contextlib
import os
import re
import select
import threading
import time

from . import load, processor
from .servers import Setup, running


def work(names, context):
    """64 connections opened at once, 1 ms of processor time per request, one, two and four workers."""
    workload = load.Workload("burn")
    with contextlib.ExitStack() as stack:
        servers = {workers: {server.name: server for server in stack.enter_context(
            running(names, Setup(workload.application, workers), context))} for workers in (1, 2, 4)}
        for _ in range(context.rounds):
            for name in servers[1]:
                figures = {}
                for workers, group in servers.items():
                    if name in group:
                        figures.update(work_once(group[name], workers, workload, context))
                if "rate2" in figures:
                    figures["gain"] = figures["rate2"] / figures["rate1"]
                context.add(name, **figures)


def work_once(server, workers, workload, context):
    server.wait_until_idle()
    connections, held = Connections(server.pid), []
    # Where there are more workers than processors the kernel's scheduler, too, decides who works how much; where the
    # connections are, the server alone does.
    sample = threading.Timer(context.seconds, lambda: held.extend(connections.held()))
    before = processor.seconds_by_process(server.pid)
    sample.start()
    report = load.wrk(server.address, workload, 2 * context.seconds)
    sample.join()
    after = processor.seconds_by_process(server.pid)
    used = [seconds - before.get(pid, 0) for pid, seconds in after.items()]
    return {"share%d" % workers: 100 * max(used) / sum(used), "held%d" % workers: max(held, default=0),
            "accepted%d" % workers: sum(held), "rate%d" % workers: report["requests"] * 1e6 / report["microseconds"],
            "errors%d" % workers: report["errors"]}


class Connections:
    """Which process of a tree holds how many of the connections that were opened since."""

    # /proc/net/tcp would say it without a difference, but takes seconds while many closed connections are remembered.

    def __init__(self, root):
        self.root = root
        self.before = self._sockets()

    def _sockets(self):
        sockets = collections.Counter()
        for pid in processor.process_tree(self.root):
            folder = "/proc/%d/fd" % pid
            with contextlib.suppress(OSError):
                for descriptor in os.listdir(folder):
                    with contextlib.suppress(OSError):
                        sockets[pid] += os.readlink(os.path.join(folder, descriptor)).startswith("socket:")
        return sockets

    def held(self):
        """One number for each process that holds any."""
        return list((self._sockets() - self.before).values()) or [0]


def silent(names, context):
    """32 connections opened at once, on which nothing is ever sent."""
    with running(names, Setup("hello", 4), context) as servers:
        for _ in range(context.rounds):
            for server in servers:
                connections = Connections(server.pid)
                with contextlib.ExitStack() as stack:
                    for _ in range(32):
                        stack.enter_context(load.connect(server.address))
                    # A server may leave them to the kernel for a second or so.
                    end = time.monotonic() + 5
                    while True:
                        held = connections.held()
                        if sum(held) >= 32 or time.monotonic() > end:
                            break
                        time.sleep(0.05)
                    context.add(server.name, busiest=max(held), held=sum(held))
                server.wait_until_idle()


def full(names, context):
    """120 kept-alive connections, opened at once, on four workers that may hold 50 each."""
    with running(names, Setup("hello", 4, keep_alive=60, limit=50), context) as servers:
        for _ in range(context.rounds):
            for server in servers:
                connections = Connections(server.pid)
                with contextlib.ExitStack() as stack:
                    clients = [stack.enter_context(load.connect(server.address)) for _ in range(120)]
                    for client in clients:
                        client.sendall(load.request_bytes(keep_alive=True))
                    answered, closed = watch(clients)
                    context.add(server.name, busiest=max(connections.held()), answered=answered, closed=closed)
                server.wait_until_idle()


def watch(clients):
    """How many connections were answered, and how many the server closed, when nothing has happened for a while."""
    poll = select.poll()
    by_descriptor = {client.fileno(): client for client in clients}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    answered, closed = set(), 0
    end = time.monotonic() + 10
    while time.monotonic() < end:
        events = poll.poll(1500)
        if not events:
            break
        for descriptor, _ in events:
            try:
                received = by_descriptor[descriptor].recv(1 << 16)
            except OSError:
                received = b""
            if received:
                if re.match(rb"HTTP/1.1 200 ", received):
                    answered.add(descriptor)
            else:
                closed += 1
                poll.unregister(descriptor)
    return len(answered), closed
