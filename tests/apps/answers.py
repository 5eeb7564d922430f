"""Answers in every form PEP 3333 allows, and in some it does not: the path names it."""

import io
import os
import sys
import threading
import time
from urllib.parse import parse_qs

TEXT = ("Content-Type", "text/plain")
FILE = "answers.data"
FILE_CONTENT = b"".join(b"line %d of the file\n" % number for number in range(20_000))


def size(environ, default=10_000_000):
    return int(parse_qs(environ["QUERY_STRING"]).get("size", [default])[0])


def note(text):
    """Leaves a line where the test can read it."""
    with open("notes", "a") as notes:
        notes.write(text + "\n")


class Closing:
    """An iterable that tells when it is closed."""

    def __init__(self, pieces, name="closed"):
        self.pieces, self.name = iter(pieces), name

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        note(self.name)


def with_list(environ, start_response):
    start_response("200 OK", [TEXT])
    return [b"one ", b"two ", b"three"]


def with_tuple(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", "6")])
    return (b"abc", b"", b"def")


def with_generator(environ, start_response):
    start_response("200 OK", [TEXT])
    yield b"one "
    yield b""
    yield b"two "
    yield b"three"


def with_late_start(environ, start_response):
    start_response("200 OK", [TEXT])
    yield b"late"


def with_bytes(environ, start_response):
    start_response("200 OK", [TEXT])
    return b"byte by byte"


def with_write(environ, start_response):
    write = start_response("200 OK", [TEXT])
    write(b"written ")
    write(b"twice ")
    return [b"and returned"]


def with_write_only(environ, start_response):
    write = start_response("200 OK", [TEXT, ("Content-Length", "7")])
    write(b"writ")
    write(b"ten")
    return []


def with_nothing(environ, start_response):
    start_response("200 OK", [TEXT])
    return []


def with_empty_pieces(environ, start_response):
    start_response("200 OK", [TEXT])
    return [b"", b"", b""]


def with_no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


def with_not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []


def with_no_content_but_a_body(environ, start_response):
    start_response("204 No Content", [])
    return [b"must not be sent"]


def with_teapot(environ, start_response):
    start_response("418 I'm a teapot, short and stout", [TEXT])
    return [b"tea"]


def with_two_cookies(environ, start_response):
    start_response("200 OK", [TEXT, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "caf\xe9")])
    return [b"cookies"]


def with_the_servers_headers(environ, start_response):
    headers = [TEXT, ("Server", "mine"), ("Date", "yesterday"), ("Connection", "Upgrade"), ("Keep-Alive", "x")]
    start_response("200 OK", headers + [("Transfer-Encoding", "chunked"), ("X-Mine", "kept")])
    return [b"hop by hop"]


def with_too_little(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", "20")])
    return [b"only ten b"]


def with_too_much(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", "5")])
    return [b"12345", b"too much"]


def with_too_much_in_one(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", "5")])
    return [b"12345too much"]


def with_recovery(environ, start_response):
    start_response("200 OK", [TEXT, ("X-First", "yes")])
    try:
        raise ValueError("found out in time")
    except ValueError:
        start_response("500 Found Out In Time", [TEXT], sys.exc_info())
    return [b"recovered"]


def with_recovery_too_late(environ, start_response):
    start_response("200 OK", [TEXT])
    yield b"the start of it"
    try:
        raise ValueError("found out too late")
    except ValueError:
        start_response("500 Found Out Too Late", [TEXT], sys.exc_info())
    yield b"never sent"


def with_two_starts(environ, start_response):
    start_response("200 OK", [TEXT])
    start_response("200 OK", [TEXT])
    return [b"never"]


def with_no_start(environ, start_response):
    return [b"never"]


def with_error(environ, start_response):
    raise RuntimeError("raised before the start")


def with_error_after_start(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", "5")])
    raise RuntimeError("raised after the start")


def with_error_midway(environ, start_response):
    start_response("200 OK", [TEXT])
    yield b"x" * 1000
    raise RuntimeError("raised midway")


def with_error_midway_of_a_length(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", "2000")])
    yield b"x" * 1000
    raise RuntimeError("raised midway of a length")


def with_exit(environ, start_response):
    sys.exit(7)


def with_text(environ, start_response):
    start_response("200 OK", [TEXT])
    return ["text is not bytes"]


def with_a_newline_in_a_header(environ, start_response):
    start_response("200 OK", [TEXT, ("X-Bad", "a\r\nX-Injected: yes")])
    return [b"never"]


def with_a_bad_status(environ, start_response):
    start_response("OK", [TEXT])
    return [b"never"]


def with_a_number_in_a_header(environ, start_response):
    start_response("200 OK", [TEXT, ("X-Number", 5)])
    return [b"never"]


def with_close(environ, start_response):
    start_response("200 OK", [TEXT])
    return Closing([b"closing ", b"time"], "closed after all")


def with_close_and_error(environ, start_response):
    start_response("200 OK", [TEXT])

    def pieces():
        yield b"x"
        raise RuntimeError("raised before close")

    return Closing(pieces(), "closed after error")


def with_close_and_endless(environ, start_response):
    start_response("200 OK", [TEXT])

    def pieces():
        while True:
            yield b"x" * 65536

    return Closing(pieces(), "closed endless")


def with_close_that_raises(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", "4")])

    class Raising(Closing):
        def close(self):
            super().close()
            raise RuntimeError("raised in close")

    return Raising([b"fine"], "close raised")


def with_big(environ, start_response):
    length = size(environ)
    start_response("200 OK", [TEXT, ("Content-Length", str(length))])
    return [b"x" * length]


def with_long_list(environ, start_response):
    """64 MiB, of which another thread removes what it can when `change` is asked for."""
    start_response("200 OK", [TEXT])
    pieces = [b"z" * 65536] * 1024
    if "change" in environ["QUERY_STRING"]:

        def change():
            while not os.path.exists("go"):
                time.sleep(0.01)
            del pieces[:]
            note("changed")

        threading.Thread(target=change).start()
    return pieces


def with_long_tuple(environ, start_response):
    start_response("200 OK", [TEXT])
    return (b"z" * 65536,) * 1024


def with_a_reset_of_its_own(environ, start_response):
    start_response("200 OK", [TEXT])
    yield b"x" * 100_000
    raise ConnectionResetError("the database is gone")


def with_control_characters(environ, start_response):
    raise ValueError("control " + "\x01" * 40_000)


def with_a_write_in_another_thread(environ, start_response):
    """Returns while the other thread waits for the client."""
    write = start_response("200 OK", [TEXT])

    def write_on():
        try:
            while True:
                write(b"w" * 65536)
        except BaseException as error:
            note("%s: %s" % (type(error).__name__, error))

    threading.Thread(target=write_on, daemon=True).start()
    while not os.path.exists("go"):
        time.sleep(0.01)

    class Raising(Closing):
        def close(self):
            raise RuntimeError("raised in close beside a thread")

    return Raising([])


def with_big_pieces(environ, start_response):
    start_response("200 OK", [TEXT])
    left = size(environ)
    while left > 0:
        yield b"y" * min(left, 65536)
        left -= 65536


def the_file():
    if not os.path.exists(FILE):
        draft = "%s.%d" % (FILE, os.getpid())
        with open(draft, "wb") as file:
            file.write(FILE_CONTENT)
        os.rename(draft, FILE)
    return open(FILE, "rb")


def with_file(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", str(len(FILE_CONTENT)))])
    return environ["wsgi.file_wrapper"](the_file())


def with_file_without_length(environ, start_response):
    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](the_file(), 4096)


def with_file_from_the_middle(environ, start_response):
    file = the_file()
    file.seek(100_000)
    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](file)


def with_part_of_a_file(environ, start_response):
    file = the_file()
    file.read(10)
    start_response("206 Partial Content", [TEXT, ("Content-Length", "50")])
    return environ["wsgi.file_wrapper"](file)


def with_file_in_memory(environ, start_response):
    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](io.BytesIO(FILE_CONTENT))


def with_file_that_is_closed(environ, start_response):
    class Noted(io.BytesIO):
        def close(self):
            note("file closed")
            super().close()

    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](Noted(b"noted"))


def with_unwrapped_file(environ, start_response):
    """The wrapper is used up by the app itself, as a middleware may do."""
    start_response("200 OK", [TEXT])
    return [b"".join(environ["wsgi.file_wrapper"](the_file(), 1000))]


def app(environ, start_response):
    name = "with_" + environ["PATH_INFO"].lstrip("/").replace("-", "_")
    return globals()[name](environ, start_response)
