"""A handler for `logging` that writes into the server's log: into the journal with the fields
that records have, elsewhere as Gunicorn writes them.

The loggers `gunicorn.error` and `gunicorn.access` have it: applications copy their handlers.
"""

import logging
import os
import stat
import sys
import time

from rgunicorn import _worker, log_settings

# Where journald listens, also for a unit with a LogNamespace=.
JOURNAL = "/run/systemd/journal/socket"

# How long a record waits for journald, and for a terminal or pipe that takes nothing.
JOURNAL_TIME_OUT = 1
STDERR_TIME_OUT = 5

# The longest record in bytes: with its fields it is to fit into a datagram. What is longer
# becomes several records.
LONGEST = 48 * 1024
CUT = b" [cut]"
REST = b"[rest] "

# What a pipe takes at once when it takes anything.
PIECE = 4096

# Of a field's name: what is longer is dropped by journald.
LONGEST_NAME = 64

# How records look on standard error.
LINE = "[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s"
TIME = "%Y-%m-%d %H:%M:%S +0000"

# The level that `gunicorn.error` was given here.
_level = None


class JournalHandler(logging.Handler):
    """Writes into the server's log.

    In the journal, a record has the fields LOGGER, CODE_FILE, CODE_LINE, CODE_FUNC and
    THREAD_NAME, and one for each keyword of the handler and of `extra` whose name is in upper
    case. Where the journal is not the log, the file of `errorlog` or standard error takes lines.
    """

    def __init__(self, level=logging.NOTSET, **fields):
        super().__init__(level)
        for name in fields:
            if not _is_field(name):
                raise ValueError(f"{name!r} is no name of a field: it may have A-Z, 0-9 and _, and begins with a letter")
        self._fields = [(name, str(value)) for name, value in fields.items()]
        self._journal = None
        self._is_journal_stuck = False
        self._is_stderr_stuck = False
        self._dropped = 0
        self.setFormatter(DefaultFormatter())

    def emit(self, record):
        try:
            self._write(record)
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)

    def close(self):
        # It may be used again: logging.config closes all handlers there are.
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()
        super().close()

    def _write(self, record):
        text = self.format(record).encode("utf-8", "backslashreplace")
        kind = _kind()
        if kind == "file":
            line = text + b"\n"
            if not _append(log_settings.file, line):
                self._print(line)
        elif kind == "journal":
            fields = _fields_of(record, self._fields)
            for piece in _pieces(text):
                if not self._send(_entry(piece, fields)):
                    # The master reads it, and finds the priority. It has to stand on the first
                    # line alone, for these to stay one record.
                    self._print(b"<%d>%b\n" % (_priority(record), piece))
        elif kind == "stream":
            # journald makes each line an entry.
            prefix = b"<%d>" % _priority(record)
            self._print(b"".join(prefix + line + b"\n" for line in text.splitlines()))
        else:
            self._print(text + b"\n")

    def _send(self, entry):
        """Whether journald has taken it."""
        import socket
        import struct

        try:
            if self._journal is None:
                self._journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                # It has a queue of a few hundred entries, which others fill, too.
                until = struct.pack("@ll", JOURNAL_TIME_OUT, 0)
                self._journal.settimeout(None)
                self._journal.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, until)
            # Only the first record waits for a journald that does not go on.
            flags = socket.MSG_DONTWAIT if self._is_journal_stuck else 0
            self._journal.sendto(entry, flags, JOURNAL)
        except BlockingIOError:
            self._is_journal_stuck = True
            return False
        except OSError:
            # It is not there, or the application has closed the socket with others.
            journal, self._journal = self._journal, None
            if journal is not None:
                try:
                    journal.close()
                except OSError:
                    pass
            return False
        self._is_journal_stuck = False
        return True

    def _print(self, text):
        """Writes to standard error, or counts a record that it does not take."""
        dropped = self._dropped
        if dropped:
            s, them = ("", "it") if dropped == 1 else ("s", "them")
            was = "was" if dropped == 1 else "were"
            notice = f"<4>{dropped} log record{s} {was} dropped because stderr did not take {them}\n"
            text = notice.encode() + text
        wait = 0 if self._is_stderr_stuck else STDERR_TIME_OUT
        if _write_all(2, text, time.monotonic() + wait):
            self._is_stderr_stuck = False
            self._dropped = 0
        else:
            self._is_stderr_stuck = True
            self._dropped += 1


class SyslogHandler(logging.Handler):
    """Sends to the syslog that the server's log goes to, from workers."""

    def emit(self, record):
        try:
            _worker.send_to_syslog(_priority(record), self.format(record).encode("utf-8", "replace").decode())
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)


class DefaultFormatter(logging.Formatter):
    """As Gunicorn has it where records are lines. The journal has time and level itself."""

    converter = time.gmtime

    def __init__(self):
        super().__init__(LINE, TIME)

    def formatMessage(self, record):
        if _kind() in ("file", "lines"):
            return super().formatMessage(record)
        return record.message


def _kind():
    """Where records go: to the "file" of the error log, into the "journal" by its socket, into the journal's "stream" that
    standard error is, or to standard error as "lines"."""
    if log_settings.file is not None:
        return "file"
    if log_settings.destination == "journal":
        return "journal"
    if not _is_stream_of_journal():
        return "lines"
    if log_settings.destination is None and os.path.exists(JOURNAL):
        return "journal"
    return "stream"


def _is_stream_of_journal():
    told = os.environ.get("JOURNAL_STREAM")
    if told is None:
        return False
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return told == f"{found.st_dev}:{found.st_ino}"


def _priority(record):
    number = record.levelno
    if number >= logging.CRITICAL:
        return 2
    if number >= logging.ERROR:
        return 3
    if number >= logging.WARNING:
        return 4
    return 6 if number >= logging.INFO else 7


def _is_field(name):
    return (
        name.isascii()
        and name.isidentifier()
        and name == name.upper()
        and name[:1] != "_"
        and len(name) <= LONGEST_NAME
    )


def _fields_of(record, more):
    fields = {
        **dict(log_settings.fields),
        "PRIORITY": _priority(record),
        "LOGGER": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName,
        "THREAD_NAME": record.threadName,
        "OBJECT_PID": os.getpid(),
        "WORKER_ID": log_settings.worker,
        "REQUEST_ID": _request_id(),
        **dict(more),
    }
    for name, value in record.__dict__.items():
        if name[:1].isupper() and _is_field(name):
            fields[name] = value
    fields.pop("MESSAGE", None)
    return fields


def _request_id():
    name = getattr(_worker, "request_id", None)
    return name and name()


def _entry(text, fields):
    """In journald's own protocol."""
    parts = [_field("MESSAGE", text)]
    for name, value in fields.items():
        if value is not None:
            # What is longer than a record is none of it.
            value = str(value).encode("utf-8", "backslashreplace")[:LONGEST]
            parts.append(_field(name, value))
    return b"".join(parts)


def _field(name, value):
    return b"%b\n%b%b\n" % (name.encode(), len(value).to_bytes(8, "little"), value)


def _pieces(text):
    """The text in records of a bearable length."""
    pieces = []
    while len(text) > LONGEST:
        end = LONGEST
        # Not within a character.
        while end > LONGEST - 4 and text[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(text[:end] + CUT)
        text = REST + text[end:]
    pieces.append(text)
    return pieces


def _append(path, data):
    """Whether a file has taken all of it. Opened each time: it may have been renamed."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError:
        return False
    try:
        return os.write(fd, data) == len(data)
    except OSError:
        return False
    finally:
        os.close(fd)


def _write_all(fd, data, until):
    """Whether all of it was taken until then, by the monotonic clock."""
    import select

    try:
        is_file = stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False
    room = select.poll()
    room.register(fd, select.POLLOUT)
    left = memoryview(data)
    while left:
        if not is_file:
            wait = max(0, until - time.monotonic())
            if not room.poll(wait * 1000):
                return False
        try:
            written = os.write(fd, left if is_file else left[:PIECE])
        except BlockingIOError:
            # Somebody who shares it has made it non-blocking, and others were faster.
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)
            continue
        except OSError:
            return False
        left = left[written:]
    return True


def prepare():
    """Gives Gunicorn's loggers their handlers and levels, as they are in its workers."""
    global _level
    error, access = map(logging.getLogger, ("gunicorn.error", "gunicorn.access"))
    if _level is None:
        for logger in (error, access):
            logger.propagate = False
            handler = JournalHandler()
            logger.addHandler(handler)
        handler.setFormatter(logging.Formatter("%(message)s"))
        access.setLevel(logging.INFO)
    for handler in [one for one in error.handlers if isinstance(one, SyslogHandler)]:
        error.removeHandler(handler)
    if log_settings.syslog:
        error.addHandler(SyslogHandler())
    if _level is None or error.level == _level:
        # The configuration may have chosen another.
        _level = log_settings.level
        error.setLevel(_level)


if log_settings.destination is not None:
    prepare()
