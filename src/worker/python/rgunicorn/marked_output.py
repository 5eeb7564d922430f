"""Standard output and error, with a mark in front of what is written while a request is served.

The master reads them from pipes, takes the mark off, and the journal gets it as REQUEST_ID.
Used only where it does.
"""

import io
import os
import sys
from _thread import RLock

from ._worker import output_mark


class MarkedFile(io.FileIO):
    """A descriptor that the master reads.

    The text layer keeps an unfinished line, and nothing else is between: what threads have
    written for different requests must not leave in one write.
    """

    def __init__(self, fd):
        super().__init__(fd, "w", closefd=False)
        # A pipe takes long writes in pieces.
        self.lock = RLock()
        os.register_at_fork(after_in_child=self.lock._at_fork_reinit)

    def write(self, data):
        mark = output_mark() or b""
        rest = data = memoryview(data).cast("B")
        with self.lock:
            while rest:
                written = os.writev(self.fileno(), (mark, rest))
                rest = rest[max(written - len(mark), 0) :]
        return len(data)


def install():
    sys.stdout = sys.__stdout__ = _marked(sys.stdout, 1)
    sys.stderr = sys.__stderr__ = _marked(sys.stderr, 2)


def _marked(stream, fd):
    # Whatever else a configuration in Python has put there is left alone.
    if type(stream) is not io.TextIOWrapper or stream.fileno() != fd:
        return stream
    stream.flush()
    raw = MarkedFile(fd)
    raw.name = stream.name
    marked = io.TextIOWrapper(
        raw,
        encoding=stream.encoding,
        errors=stream.errors,
        newline="\n",
        line_buffering=True,
        write_through=stream.write_through,
    )
    marked.mode = "w"
    return marked
