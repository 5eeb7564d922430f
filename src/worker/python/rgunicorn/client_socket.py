"""The socket of a client, as the application gets it by `environ["gunicorn.socket"]`.

Imported when an application asks for the first one.
"""

import errno
import os
import select
import socket

# What sends, or changes what the server could still do with the connection.
TAKING = ("send", "sendall", "sendto", "sendmsg", "sendmsg_afalg", "sendfile", "detach")

# What receives, and which argument has the flags.
RECEIVING = {
    "recv": 1,
    "recv_into": 2,
    "recvfrom": 1,
    "recvfrom_into": 2,
    "recvmsg": 2,
    "recvmsg_into": 2,
}


class ClientSocket(socket.socket):
    """A client's connection.

    Whoever only looks at it (names, options, MSG_PEEK, select) gets his response sent as
    always. With the first byte that he sends or receives he has taken the connection: no
    response is sent, and it is closed when the request ends.

    Until then it stays non-blocking, as the server must not wait when it sends: that is a mode
    of the connection, not of a descriptor. A timeout of None is no more than remembered.
    """

    def __init__(self, handle):
        self._handle = None
        # An entry for each call that is under way, for which the descriptor stays open: its
        # number could become that of another client's connection.
        self._calls = []
        self._is_over = False
        super().__init__(fileno=handle.duplicate())
        self._handle = handle
        self._is_taken = False
        self._names = None
        self._timeout = None

    def _take(self):
        if self._is_taken:
            return
        replacement = self._handle.take()
        if replacement is not None:
            # The names of the pair of sockets would say nothing.
            self._names = self.getpeername(), self.getsockname()
            try:
                os.dup2(replacement, self.fileno(), inheritable=False)
            finally:
                os.close(replacement)
        super().settimeout(self._timeout)
        self._is_taken = True

    def settimeout(self, value):
        if self._is_taken or value is not None:
            super().settimeout(value)
            value = super().gettimeout()
        self._timeout = value

    def gettimeout(self):
        return self._timeout

    timeout = property(gettimeout)

    def setblocking(self, flag):
        self.settimeout(None if flag else 0.0)

    def getblocking(self):
        return self._timeout != 0.0

    def _call(self, method, args, kwargs):
        self._calls.append(None)
        try:
            if self._is_over:
                raise OSError(errno.EBADF, "the request of this socket is over")
            return method(self, *args, **kwargs)
        finally:
            self._calls.pop()
            self._close_if_over()

    def _peek(self, method, args, kwargs):
        """Waits as a blocking socket does."""
        readable = select.poll()
        readable.register(self, select.POLLIN)
        while True:
            readable.poll()
            try:
                return self._call(method, args, kwargs)
            except (BlockingIOError, socket.timeout):
                # Another thread was faster.
                pass

    def getpeername(self):
        return self._names[0] if self._names else super().getpeername()

    def getsockname(self):
        return self._names[1] if self._names else super().getsockname()

    def dup(self):
        self._take()
        copy = socket.socket(self.family, self.type, self.proto, fileno=socket.dup(self.fileno()))
        copy.settimeout(self.gettimeout())
        return copy

    def shutdown(self, how):
        if how != socket.SHUT_RD:
            self._take()
        self._call(socket.socket.shutdown, (how,), {})

    def _real_close(self):
        if self.fileno() >= 0:
            # The server has another descriptor.
            try:
                self.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        super()._real_close()

    def _rgunicorn_end(self):
        """The request is over: closes the descriptor, not the connection."""
        self._is_over = True
        self._close_if_over()

    def _close_if_over(self):
        if self._is_over and not self._calls and self.fileno() >= 0:
            super()._real_close()

    def __del__(self):
        if self.fileno() >= 0:
            super()._real_close()


def _taking(name):
    method = getattr(socket.socket, name)

    def call(self, *args, **kwargs):
        self._take()
        return self._call(method, args, kwargs)

    call.__name__ = name
    return call


def _receiving(name, position):
    method = getattr(socket.socket, name)

    def call(self, *args, **kwargs):
        flags = args[position] if len(args) > position else kwargs.get("flags", 0)
        if not flags & socket.MSG_PEEK:
            self._take()
        elif not self._is_taken and self._timeout is None and not flags & socket.MSG_DONTWAIT:
            return self._peek(method, args, kwargs)
        return self._call(method, args, kwargs)

    call.__name__ = name
    return call


for _name in TAKING:
    if hasattr(socket.socket, _name):
        setattr(ClientSocket, _name, _taking(_name))
for _name, _position in RECEIVING.items():
    setattr(ClientSocket, _name, _receiving(_name, _position))
