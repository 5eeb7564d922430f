"""Finding the application: `module`, `module:callable`, `module:factory("argument")`."""

import importlib
import sys


class UnusableApplication(Exception):
    """The module is there, but what was named in it is not, or cannot be called."""


def load(target):
    """The WSGI callable that `target` names.

    Raises UnusableApplication, or whatever the application's module raises.
    """
    module_name, _, expression = target.partition(":")
    expression = expression or "application"
    factory, args, kwargs = _parse(expression)
    try:
        module = importlib.import_module(module_name)
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
    if not callable(app):
        raise UnusableApplication(f"{expression!r} in module {module_name!r} is not callable")
    return app


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
    # Neither the frames of this file nor those of the import machinery help anybody.
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    lines = traceback.format_exception(type(error), error, frames)
    summary = traceback.format_exception_only(type(error), error)[-1].strip()
    if isinstance(error, UnusableApplication):
        return str(error), ""
    return summary, "".join(lines).rstrip()


def _is_ours(frames):
    name = frames.tb_frame.f_code.co_filename
    return name == __file__ or name.startswith("<frozen importlib") or name == importlib.__file__


def prepare(pythonpath):
    """Makes the interpreter what applications expect: called once, before any is loaded."""
    import os

    sys.path[:0] = [os.getcwd(), *pythonpath]
    for stream in (sys.stdout, sys.stderr):
        # A pipe would make them wait for a full block: nobody would see a print().
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
