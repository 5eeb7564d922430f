"""Load: single requests, as many as wrk can send, or a constant rate by our own client."""

import collections
import json
import re
import socket
import subprocess
import tempfile

from .paths import compiled

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345; csrftoken=%s; _ga=GA1.1.1234567890.1700000000" % ("A" * 64),
    "Referer": "http://127.0.0.1/previous/page?x=1",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Cache-Control": "max-age=0",
}

# What is asked for: `post` is the size of the body, `length` that of the right answer if it is known.
Workload = collections.namedtuple("Workload", "application connections headers post length",
                                  defaults=(64, {}, 0, None))

# Prints one line of JSON at the end.
REPORT = """
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('@{"requests": %d, "microseconds": %d, "errors": %d, "p99": %.1f}\\n', summary.requests,
    summary.duration, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(99)))
end
"""


def request_bytes(headers=None, post=0, keep_alive=False):
    lines = ["%s / HTTP/1.1" % ("POST" if post else "GET"), "Host: 127.0.0.1"]
    headers = {**(headers or {}), **({} if keep_alive else {"Connection": "close"})}
    lines += ["%s: %s" % item for item in headers.items()]
    if post:
        lines.append("Content-Length: %d" % post)
    return "\r\n".join(lines + ["", ""]).encode() + b"x" * post


GET = request_bytes()


def connect(address, timeout=5):
    """A connection to a port of 127.0.0.1 or to the path of a unix socket."""
    family, where = (socket.AF_UNIX, address) if isinstance(address, str) else (socket.AF_INET, ("127.0.0.1", address))
    connection = socket.socket(family)
    connection.settimeout(timeout)
    try:
        connection.connect(where)
    except OSError:
        connection.close()
        raise
    return connection


def read_answer(connection):
    """Status and body of one answer, or None if the connection ended before."""
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if end and length and len(body) >= int(length[1]):
            return int(head.split()[1]), body
        more = connection.recv(1 << 16)
        if not more:
            return None
        received += more


def ask(address, request=GET):
    """Status and body of one answer on a connection of its own, or None."""
    try:
        with connect(address) as connection:
            connection.sendall(request)
            return read_answer(connection)
    except OSError:
        return None


def wrk(port, workload, seconds):
    """As much load as one thread of wrk can make; returns wrk's own account."""
    with tempfile.NamedTemporaryFile("w", prefix="rgunicorn-bench-", suffix=".lua") as script:
        for item in workload.headers.items():
            script.write("wrk.headers[%s] = %s\n" % tuple(map(json.dumps, item)))
        if workload.post:
            script.write('wrk.method = "POST"\nwrk.body = string.rep("x", %d)\n' % workload.post)
        script.write(REPORT)
        script.flush()
        result = subprocess.run(
            ["wrk", "--threads", "1", "--connections", str(workload.connections), "--duration", "%ds" % seconds,
             "--timeout", "5s", "--script", script.name, "http://127.0.0.1:%d/" % port],
            capture_output=True, text=True, timeout=seconds + 60)
    report = re.search(r"^@(.*)$", result.stdout, re.M)
    if not report:
        raise RuntimeError("wrk failed: %s%s" % (result.stdout, result.stderr))
    return json.loads(report[1])


class Paced:
    """Requests at a constant rate; some of them go to /slow. The clock runs when this returns."""

    def __init__(self, port, connections, rate, seconds, slow_of_1000=0, seed=1):
        self.seconds = seconds
        self.process = subprocess.Popen(
            [compiled("client.c"), *map(str, (port, connections, rate, seconds, slow_of_1000, seed))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def report(self):
        """Waits for the end; returns the client's account, with latencies in milliseconds."""
        out, error = self.process.communicate(timeout=self.seconds + 60)
        if self.process.returncode:
            raise RuntimeError("the client failed: " + error.strip())
        return json.loads(out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
