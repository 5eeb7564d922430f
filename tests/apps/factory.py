"""Applications that have to be made first."""


def make(greeting="Hello", punctuation="!", times=1):
    body = ((greeting + punctuation) * times).encode()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    return app


class Application:
    """A callable object."""

    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"called"]


instance = Application()


def make_nothing():
    return None


def make_trouble():
    raise RuntimeError("the factory had trouble")
