"""Memory that servers take: the proportional set size (PSS), in which a page shared by n processes counts 1/n for each.

One server runs at a time, and its interpreter is a copy that nobody else on the machine shares. Memory of the kernel,
such as for sockets, is not in these figures.
"""

import contextlib
import re
import resource
import select

from . import load, processor
from .servers import Absent, Server, Setup

IDLE_CONNECTIONS = 10_000


def proportional_set_size(pid):
    """In bytes; 0 for a process that has gone."""
    try:
        with open("/proc/%d/smaps_rollup" % pid) as file:
            return int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M)[1]) * 1024
    except (OSError, TypeError):
        return 0


def tree_size(server):
    return sum(map(proportional_set_size, processor.process_tree(server.pid)))


@contextlib.contextmanager
def alone(name, setup, context):
    """A server that has answered a few thousand requests on new connections, which reach all workers, and is idle; or
    None."""
    server = Server(name, setup, context.binary)
    try:
        try:
            server.wait()
        except Absent as reason:
            context.absent(name, str(reason))
            yield None
            return
        server.wait_until_idle()
        load.wrk(server.address, load.Workload(setup.application, headers={"Connection": "close"}), 1)
        server.wait_until_idle()
        yield server
    finally:
        server.stop()


def after_load(application, workers):
    """How a row is measured that shows the memory of an application."""

    def measure(names, context):
        for _ in range(context.long_rounds):
            for name in names:
                if context.is_absent(name):
                    continue
                with alone(name, Setup(application, workers), context) as server:
                    if server:
                        context.add(name, first=proportional_set_size(server.pid) / 2**20,
                                    all=tree_size(server) / 2**20)

    return measure


def idle_connections(names, context):
    """What a connection takes that was answered once and is kept alive."""
    # Some are needed for other things, here and in the server.
    count = min(IDLE_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    for _ in range(context.long_rounds):
        for name in names:
            if context.is_absent(name):
                continue
            with alone(name, Setup("hello", keep_alive=600, limit=IDLE_CONNECTIONS), context) as server:
                if server:
                    context.add(name, **hold(server, count))


def hold(server, count):
    before = tree_size(server)
    request = load.request_bytes(keep_alive=True)
    with contextlib.ExitStack() as stack:
        poll, answered = select.poll(), 0
        for _ in range(count):
            try:
                connection = stack.enter_context(load.connect(server.address))
                connection.sendall(request)
                answered += load.read_answer(connection) is not None
            except OSError:
                continue
            poll.register(connection.fileno(), select.POLLIN)
        server.wait_until_idle()
        closed = len(poll.poll(0))
        after = tree_size(server)
    kept = answered - closed
    return {"bytes": (after - before) / max(1, kept), "kept": kept}
