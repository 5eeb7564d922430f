"""Gives files of every kind to `wsgi.file_wrapper`: the path names the kind."""

import io
import os
import tempfile
from urllib.parse import parse_qs

from slow import mark

CONTENT = b"0123456789 abcdefghijklmnopqrstuvwxyz"


def plain(name="files.data", content=CONTENT):
    with open(name, "wb") as file:
        file.write(content)
    return open(name, "rb")


def swapped(content):
    return content.swapcase()


class Decrypting:
    """Reads something else than its file holds."""

    def __init__(self, file):
        self.file = self.raw = file

    def read(self, size=-1):
        return swapped(self.file.read(size))

    def fileno(self):
        return self.file.fileno()

    def close(self):
        self.file.close()


class Limited(Decrypting):
    """Ends before its file does."""

    left = 10

    def read(self, size=-1):
        block = self.file.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(block)
        return block


class DecryptingRaw(io.RawIOBase):
    """The raw file below an exact io.BufferedReader."""

    def __init__(self, file):
        self.file = file

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.file.readinto(memoryview(buffer)) and self.swap(buffer)

    def swap(self, buffer):
        block = swapped(bytes(buffer[: len(CONTENT)]))
        buffer[: len(CONTENT)] = block
        return len(CONTENT)

    def fileno(self):
        return self.file.fileno()


class Subclass(io.FileIO):
    def read(self, size=-1):
        return swapped(super().read(size))


def decrypting():
    return Decrypting(plain())


def limited():
    return Limited(plain())


def decrypting_raw():
    return io.BufferedReader(DecryptingRaw(plain()))


def subclass():
    plain().close()
    return Subclass("files.data")


def patched():
    file = plain()
    read = file.read
    file.read = lambda size: swapped(read(size))
    return file


def patched_raw():
    file = plain()
    readinto = file.raw.readinto

    def swapping(buffer):
        count = readinto(buffer)
        buffer[:count] = swapped(bytes(buffer[:count]))
        return count

    file.raw.readinto = swapping
    return file


def named_temporary():
    file = tempfile.NamedTemporaryFile()
    file.write(CONTENT)
    file.seek(11)
    return file


def unflushed():
    file = tempfile.TemporaryFile()
    file.write(CONTENT)
    file.seek(0)
    file.read(10)
    file.write(b"-written late-")
    file.seek(0)
    return file


def pipe():
    reader, writer = os.pipe()
    os.write(writer, CONTENT)
    os.close(writer)
    return os.fdopen(reader, "rb")


def unbuffered():
    file = plain()
    file.close()
    raw = open("files.data", "rb", buffering=0)
    raw.read(11)
    return raw


def at_its_end():
    file = plain()
    file.read()
    return file


def for_writing_only():
    return open("files.data", "wb", buffering=0)


def a_path(environ):
    return open(parse_qs(environ["QUERY_STRING"])["path"][0], "rb")


def noting_its_position():
    """As Django does: `close` of the file is replaced."""
    file = plain()
    file.seek(11)
    close = file.close

    def noted():
        with open("position", "w") as note:
            note.write("%d" % file.tell())
        close()

    file.close = noted
    return file


class Recording:
    def __init__(self):
        self.sizes = []

    def read(self, size):
        self.sizes.append(size)
        return b"%d;" % size if len(self.sizes) < 3 else b""


def app(environ, start_response):
    kind = environ["PATH_INFO"].strip("/").replace("-", "_")
    wrapper = environ["wsgi.file_wrapper"]
    headers = [("Content-Type", "application/octet-stream")]
    if kind == "shorter_length":
        start_response("200 OK", [*headers, ("Content-Length", "10")])
        return wrapper(plain())
    if kind == "longer_length":
        start_response("200 OK", [*headers, ("Content-Length", "100")])
        return wrapper(plain())
    if kind == "written_with_a_length":
        # The file holds more than is left of the announced length.
        start_response("200 OK", [*headers, ("Content-Length", "10")])(b"written ")
        return wrapper(plain())
    write = start_response("200 OK", headers)
    if kind == "written_first":
        write(b"written ")
        return wrapper(plain())
    if kind == "keywords":
        return wrapper(filelike=Recording(), blksize=7)
    if kind == "negative_size":
        return wrapper(plain(), -1)
    if kind == "negative_size_of_a_pipe":
        return wrapper(pipe(), -1)
    if kind == "defaults":
        return wrapper(Recording())
    if kind == "a_path":
        return wrapper(a_path(environ))
    mark("called")
    return wrapper(globals()[kind]())
