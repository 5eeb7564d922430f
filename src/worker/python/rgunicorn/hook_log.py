"""The log as hooks have it where nothing configures `logging`."""

import sys

from rgunicorn.application import showable

# Of `logging`.
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class Log:
    """The log of the server, with the methods of Gunicorn's."""

    def __init__(self, emit, level):
        self._emit = emit
        # As `logging` counts them.
        self.loglevel = LEVELS.get(str(level).lower(), LEVELS["info"])

    @property
    def error_log(self):
        return _logger("gunicorn.error")

    @property
    def access_log(self):
        return _logger("gunicorn.access")

    def _log(self, level, message, args, options):
        text = showable(_formatted(message, args) + _traceback_of(options.get("exc_info")))
        self._emit(level, text)

    def debug(self, msg, *args, **options):
        self._log("debug", msg, args, options)

    def info(self, msg, *args, **options):
        self._log("info", msg, args, options)

    def warning(self, msg, *args, **options):
        self._log("warning", msg, args, options)

    warn = warning

    def error(self, msg, *args, **options):
        self._log("error", msg, args, options)

    critical = fatal = error

    def exception(self, msg, *args, **options):
        self._log("error", msg, args, {"exc_info": True, **options})

    def log(self, level, msg, *args, **options):
        if isinstance(level, int):
            level = "debug" if level < 20 else "info" if level < 30 else "warning" if level < 40 else "error"
        # What is no level of ours is an error.
        self._log(str(level).lower(), msg, args, options)

    def reopen_files(self):
        """Files are reopened by the master."""

    def close_on_exec(self):
        """They are never inherited."""


def _formatted(message, args):
    """The message with its arguments. A call that logs does not fail: one that is wrong is
    logged as it is."""
    try:
        text = str(message)
        if not args:
            return text
        # As `logging` has it: one mapping is what the names refer to.
        if len(args) == 1 and isinstance(args[0], dict) and args[0]:
            args = args[0]
        return text % args
    except Exception as error:
        shown = [_shown(part) for part in (message, args)]
        return f"{shown[0]} with the arguments {shown[1]} (cannot be formatted: {_shown(error)})"


def _shown(value):
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__} that Python cannot show>"


def _traceback_of(exc_info):
    """Of what `logging` takes for `exc_info`: an exception, what `sys.exc_info` returns, or
    anything true for the exception that is handled. With its line break."""
    if not exc_info:
        return ""
    try:
        import traceback

        if isinstance(exc_info, BaseException):
            exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
        elif not isinstance(exc_info, tuple):
            exc_info = sys.exc_info()
        return "\n" + "".join(traceback.format_exception(*exc_info)).rstrip()
    except Exception as error:
        return f"\n(the traceback cannot be shown: {_shown(error)})"


def _logger(name):
    # Not before it is needed: it takes memory in every process of the site.
    import logging

    return logging.getLogger(name)
