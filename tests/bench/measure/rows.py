"""The rows of the benchmark: what is measured, of which servers, and which figures are shown."""

import collections
import statistics

from . import balance, cost, latency, memory

# One figure: its key in the results, its heading, its format, and what makes one number of all rounds.
Figure = collections.namedtuple("Figure", "key title form combine", defaults=("%.1f", statistics.median))
Row = collections.namedtuple("Row", "title servers measure figures")

COST = (Figure("cpu", "CPU per request, µs"), Figure("rate", "Requests/s", "%.0f"),
        Figure("errors", "errors", "%d", sum))
LATENCY = (Figure("p50", "p50, ms", "%.2f"), Figure("p99", "p99, ms"), Figure("longest", "longest, ms", "%.0f", max))
ERRORS = Figure("errors", "errors", "%d", sum)
CLIENT = Figure("client", "client late, p99, ms", "%.2f", max)
PSS = (Figure("first", "first process, MiB"), Figure("all", "all processes, MiB"))

INLINE = ("rgunicorn", "bjoern", "fastwsgi", "gunicorn")
THREADS = ("rgunicorn-gthread", "gunicorn-gthread")


def cost_row(title, name, servers=INLINE):
    return Row(title, servers, cost.direct(cost.WORKLOADS[name]), COST)


ROWS = {
    "hello": cost_row("hello, keep-alive", "hello", ("yardstick", *INLINE)),
    "close": cost_row("hello, `Connection: close`", "close", ("yardstick", *INLINE)),
    "headers": cost_row("hello, 10 browser headers", "headers", ("yardstick", *INLINE)),
    "access-log": cost_row("hello, 10 browser headers; without and with an access log", "headers",
                           ("rgunicorn", "rgunicorn-file", "rgunicorn-journal", "gunicorn", "gunicorn-file")),
    "post": cost_row("10 KB POST, echoed", "post"),
    "big": cost_row("1 MiB answer", "big"),
    "flask": cost_row("Flask, JSON", "flask"),
    "django": cost_row("Django, JSON, usual middleware", "django"),
    "nginx": Row("Flask behind nginx, unix socket", ("rgunicorn", "bjoern", "gunicorn"), cost.behind_nginx,
                 (COST[0], Figure("with_nginx", "with nginx's own"), *COST[1:])),
    "threads": cost_row("hello, worker classes with threads", "hello", (*THREADS, "granian-1", "granian-4")),
    "mixed": Row("Mixed load, 6 workers: 200 requests/s on 32 kept-alive connections, 1 % take 0.5 s; the others",
                 ("rgunicorn", "gunicorn", "bjoern"), latency.mixed(6), (*LATENCY, ERRORS, COST[0], CLIENT)),
    "mixed-threads": Row("Mixed load, 2 workers with 4 threads each", (*THREADS, "granian-4"), latency.mixed(2),
                         (*LATENCY, ERRORS, COST[0], CLIENT)),
    "balance": Row("Balance: 64 connections opened at once, 1 ms of CPU per request",
                   ("rgunicorn", "rgunicorn-gthread", "bjoern", "granian-1", "gunicorn"), balance.work,
                   (Figure("share2", "CPU of the busiest of 2, %"), Figure("share2", "worst run", "%.1f", max),
                    Figure("held2", "most connections", "%d"), Figure("held2", "worst run", "%d", max),
                    Figure("share4", "CPU of the busiest of 4, %"), Figure("share4", "worst run", "%.1f", max),
                    Figure("held4", "most connections", "%d"), Figure("held4", "worst run", "%d", max),
                    Figure("accepted1", "1 worker: accepted in half the time, fewest", "%d", min),
                    Figure("rate1", "requests/s", "%.0f"), Figure("gain", "2 workers: times that", "%.2f"))),
    "silent": Row("32 silent connections, 4 workers", ("rgunicorn", *THREADS, "bjoern", "granian-1"), balance.silent,
                  (Figure("busiest", "on the busiest", "%d"), Figure("busiest", "worst run", "%d", max),
                   Figure("held", "held, fewest", "%d", min))),
    "full": Row("120 kept-alive connections, 4 workers with `worker_connections = 50`", ("rgunicorn", *THREADS),
                balance.full,
                (Figure("busiest", "on the busiest", "%d"), Figure("answered", "answered, fewest", "%d", min),
                 Figure("closed", "closed", "%d"), Figure("closed", "worst run", "%d", max))),
    "reload": Row("%d reloads of Django, 2 workers, 200 requests/s on 16 connections" % latency.RELOADS,
                  ("rgunicorn", "gunicorn", *THREADS), latency.reload,
                  (*LATENCY, ERRORS, Figure("closed", "connections closed", "%d"),
                   Figure("reloads", "reloads done, fewest", "%d", min), CLIENT)),
    "start": Row("Start of 8 Django workers",
                 ("rgunicorn", "rgunicorn-preload", "gunicorn", "gunicorn-preload", "granian-1"), latency.start,
                 (Figure("first", "first answer, ms", "%.0f"), Figure("first", "worst run", "%.0f", max),
                  Figure("cpu", "CPU until all run, s", "%.2f"))),
    "memory": Row("Memory of a hello, 2 workers", INLINE, memory.after_load("hello", 2), PSS),
    "memory-django": Row("Memory of 8 Django workers",
                         ("rgunicorn", "rgunicorn-preload", "bjoern", "gunicorn", "gunicorn-preload", "granian-1"),
                         memory.after_load("django", 8), PSS),
    "idle": Row("10,000 idle connections, 2 workers", ("rgunicorn", *THREADS, "bjoern", "fastwsgi", "granian-1"),
                memory.idle_connections,
                (Figure("bytes", "bytes each", "%.0f"), Figure("kept", "kept, fewest", "%d", min))),
}
