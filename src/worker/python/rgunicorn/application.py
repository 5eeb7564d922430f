"""Finding the application: `module`, `module:callable`, `module:factory("argument")`."""

import sys


# The most entries of `sys.path` that a message names.
MOST_PLACES = 6

# Where our own files are.
FOLDER = __file__.rpartition("/")[0] + "/"

# Of a code object: `async def`, and `async def` with a `yield`.
CO_ASYNC = 0x0080 | 0x0200


class UnusableApplication(Exception):
    """The module is there, but what was named in it is not, or is not a WSGI application."""

class _Example:
    def method(self):
        pass


# The module `types` names them too, but it would take memory in every process of a site.
FUNCTION = type(_Example.method)
CODE = type(_Example.method.__code__)
METHOD = type(_Example().method)


def load(target):
    """The WSGI callable that `target` names.

    Raises UnusableApplication, or whatever the application's module raises.
    """
    embedding = sys.modules.get("rgunicorn.embedding")
    if embedding is not None and embedding.application is not None:
        return _load_embedded(embedding.application)
    return import_application(target)


def import_application(target):
    """The WSGI callable that `target` names, also in the process of a script that has its own."""
    module_name, _, expression = target.partition(":")
    expression = expression or "application"
    factory, args, kwargs = _parse(expression)
    try:
        __import__(module_name)
        module = sys.modules[module_name]
    except ModuleNotFoundError as error:
        if error.name == module_name and module_name.endswith(".py"):
            hint = module_name[: -len(".py")]
            raise UnusableApplication(
                f"there is no module {module_name!r}; did you mean {hint + ':' + expression!r}?"
            ) from None
        raise
    try:
        app = getattr(module, factory)
    except AttributeError:
        raise UnusableApplication(
            f"module {module_name!r} has no {factory!r}{_suggestion(module, module_name)}"
        ) from None
    if args is not None:
        if not callable(app):
            raise UnusableApplication(f"{factory!r} in module {module_name!r} is not callable")
        app = _call(app, factory, args, kwargs)
        if app is None:
            raise UnusableApplication(f"the factory {factory!r} returned None")
        if type(app).__name__ == "coroutine":
            app.close()
            raise UnusableApplication(f"the factory {factory!r} must not be an async function")
    if not callable(app):
        raise UnusableApplication(f"{expression!r} in module {module_name!r} is not callable")
    _refuse_asgi(app, f"{module_name}:{expression}")
    return app


def _load_embedded(embedded):
    """What the application of a script gives to be served."""
    app = embedded.wsgi()
    name = f"load() of {type(embedded).__name__}"
    if not callable(app):
        raise UnusableApplication(f"{name} returned {app!r}, which is not callable")
    _refuse_asgi(app, f"what {name} returned")
    return app


def _refuse_asgi(app, name):
    if _is_asgi(app):
        raise UnusableApplication(
            f"{name} is an ASGI application{_class_name(app)}, and only WSGI is supported: "
            "serve it with an ASGI server such as uvicorn, or name the WSGI callable if the project has one "
            "(Django: wsgi.py)"
        )


def _is_asgi(app):
    """Whether `app` is a coroutine function or made for three arguments.

    Neither can be WSGI, whose applications are called with two and return an
    iterable. In doubt the answer is no: the first request will tell.
    """
    function = _function(app)
    code = getattr(function, "__code__", None)
    if type(code) is not CODE:
        return False
    if code.co_flags & CO_ASYNC:
        return True
    optional = len(getattr(function, "__defaults__", None) or ())
    required = code.co_varnames[: code.co_argcount - optional]
    return required[-3:] == ("scope", "receive", "send")


def _function(app):
    """What runs when `app` is called, if it can be determined.

    Only types are asked: a proxy may have any attribute.
    """
    functools = sys.modules.get("functools")
    while functools and type(app) is functools.partial:
        app = app.func
    kind = type(app)
    if issubclass(kind, type):
        # Called once, a class gives an instance: the iterable, if it is WSGI.
        makes_instances = kind.__call__ is type.__call__ and app.__new__ is object.__new__
        if not makes_instances or hasattr(app, "__iter__") or hasattr(app, "__getitem__"):
            return None
        return app.__call__
    if kind is METHOD:
        return app.__func__
    if kind is FUNCTION:
        return app
    return kind.__call__


def _class_name(app):
    kind = type(app)
    if kind.__module__ == "builtins" or issubclass(kind, type):
        return ""
    return f" ({kind.__module__}.{kind.__qualname__})"


def _parse(expression):
    """The name in `expression` and, if it is a call, its literal arguments."""
    if expression.isidentifier():
        return expression, None, None
    import ast

    try:
        node = ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise UnusableApplication(
            f"{expression!r} is neither a name nor a call such as factory('argument')"
        ) from None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise UnusableApplication(f"{expression!r} is neither a name nor a call of one")
    try:
        args = [ast.literal_eval(argument) for argument in node.args]
        kwargs = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
    except ValueError:
        raise UnusableApplication(f"the arguments in {expression!r} must be literal values") from None
    return node.func.id, args, kwargs


def _call(factory, name, args, kwargs):
    try:
        return factory(*args, **kwargs)
    except TypeError as error:
        # Raised by the call itself, not by something inside the factory?
        if error.__traceback__.tb_next is None:
            raise UnusableApplication(f"{name!r} does not take these arguments: {error}") from None
        raise


def _suggestion(module, module_name):
    for name in ("app", "application", "wsgi_app", "create_app"):
        if callable(getattr(module, name, None)):
            call = "()" if name.startswith("create_") else ""
            return f"; did you mean '{module_name}:{name}{call}'?"
    return ""


def explain(error):
    """What an operator needs of `error`: its one-line summary and its traceback."""
    import traceback

    frames = error.__traceback__
    # Neither our own frames nor those of the import machinery help anybody.
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    lines = traceback.format_exception(type(error), error, frames)
    summary = traceback.format_exception_only(type(error), error)[-1].strip()
    if isinstance(error, UnusableApplication):
        return showable(str(error)), ""
    if isinstance(error, ModuleNotFoundError):
        # Most often the interpreter is not the one the packages were installed for.
        lines[-1] = summary = f"{summary} ({_search_path()})"
    return showable(summary), showable("".join(lines).rstrip())


def showable(text):
    """The text, with escapes for what UTF-8 cannot have: names of files may be in it that are
    no text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _search_path():
    """Where this interpreter looks for modules, in a few words."""
    import os

    library = os.path.dirname(os.__file__)
    places = [
        entry or os.getcwd()
        for entry in sys.path
        if isinstance(entry, str) and not entry.startswith(library + "/lib-") and entry != library
    ]
    places = [place for place in dict.fromkeys(places) if os.path.exists(place)]
    more = len(places) - MOST_PLACES
    if more > 0:
        places[MOST_PLACES:] = [f"{more} more places"]
    return f"{sys.executable} searched {', '.join(places)} and its standard library"


def _is_ours(frames):
    name = frames.tb_frame.f_code.co_filename
    return name.startswith((FOLDER, "<frozen importlib"))


def prepare(pythonpath, marks_output):
    """Makes the interpreter what applications expect: called once, before any is loaded."""
    import os

    sys.path[:0] = [os.getcwd(), *pythonpath]
    for stream in (sys.stdout, sys.stderr):
        # A pipe would make them wait for a full block: the output of print() would appear late.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    if marks_output:
        from . import marked_output

        marked_output.install()
