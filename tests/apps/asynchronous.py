"""ASGI applications of every shape, and WSGI ones that look a little like them."""

import functools


async def coroutine(scope, receive, send):
    pass


async def two_arguments(environ, start_response):
    return []


async def generator(environ, start_response):
    yield b""


class Framework:
    """As FastAPI, Starlette, Quart and Django make them."""

    async def __call__(self, scope, receive, send):
        pass

    async def handle(self, scope, receive, send):
        pass


instance = Framework()
method = instance.handle
partial = functools.partial(coroutine, {})


class Middleware:
    """Hands the coroutine of another one on."""

    def __call__(self, scope, receive, send):
        return coroutine(scope, receive, send)


middleware = Middleware()


def make():
    return Framework()


async def make_later():
    return Framework()


# WSGI from here on.


def answer(start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"WSGI"]


def wrapped_like_asgi(function):
    @functools.wraps(function)
    def call(environ, start_response):
        return answer(start_response)

    return call


decorated = wrapped_like_asgi(coroutine)


class Iterable:
    """PEP 3333's own example: the class is the application, its instance the body."""

    def __init__(self, environ, start_response):
        self.body = answer(start_response)

    def __iter__(self):
        return iter(self.body)

    async def __call__(self, scope, receive, send):
        pass


class Both:
    """Tells by its arguments what it is called as."""

    def __call__(self, *args):
        return answer(args[1]) if len(args) == 2 else coroutine(*args)


both = Both()


class Proxy:
    """Has every attribute there is."""

    def __getattr__(self, name):
        return self

    def __call__(self, environ, start_response):
        return answer(start_response)


proxy = Proxy()


def optional(environ, start_response, scope=None, receive=None, send=None):
    return answer(start_response)
