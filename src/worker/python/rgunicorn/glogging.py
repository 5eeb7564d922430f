"""The log as hooks have it where `logging` is configured: Gunicorn's class, for
`logger_class` to be derived from.

The server's own records and the access log do not pass through Python: what is here gets what
hooks and applications log.
"""

import copy
import logging
import sys
import time

from rgunicorn import logging as handlers

# What holds where a configuration says nothing else, as in Gunicorn.
CONFIG_DEFAULTS = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO",
            "handlers": ["error_console"],
            "propagate": True,
            "qualname": "gunicorn.error",
        },
        "gunicorn.access": {
            "level": "INFO",
            "handlers": ["console"],
            "propagate": True,
            "qualname": "gunicorn.access",
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stdout",
        },
        "error_console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stderr",
        },
    },
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            "class": "logging.Formatter",
        }
    },
}


class Unusable(Exception):
    """What is configured cannot be used; the cause is the reason."""


class Logger:
    LOG_LEVELS = {
        "critical": logging.CRITICAL,
        "error": logging.ERROR,
        "warning": logging.WARNING,
        "info": logging.INFO,
        "debug": logging.DEBUG,
    }
    loglevel = logging.INFO

    error_fmt = handlers.LINE
    datefmt = handlers.TIME
    access_fmt = "%(message)s"
    syslog_fmt = "[%(process)d] %(message)s"

    def __init__(self, cfg):
        self.error_log = logging.getLogger("gunicorn.error")
        self.access_log = logging.getLogger("gunicorn.access")
        self.error_handlers = []
        self.access_handlers = []
        self.logfile = None
        self.cfg = cfg
        self.setup(cfg)

    def setup(self, cfg):
        self.loglevel = self.LOG_LEVELS.get(str(cfg.loglevel).lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        configure(cfg)

    def _get_gunicorn_handler(self, log):
        for handler in log.handlers:
            if isinstance(handler, handlers.JournalHandler):
                return handler
        return None

    def _set_handler(self, log, output, fmt, stream=None):
        """The handlers are those of the server. Their form is what a class may choose."""
        handler = self._get_gunicorn_handler(log)
        if handler is not None:
            handler.setFormatter(fmt)

    def critical(self, msg, *args, **kwargs):
        self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg, *args, **kwargs):
        self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg, *args, **kwargs):
        self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg, *args, **kwargs):
        self.error_log.info(msg, *args, **kwargs)

    def debug(self, msg, *args, **kwargs):
        self.error_log.debug(msg, *args, **kwargs)

    def exception(self, msg, *args, **kwargs):
        self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl, msg, *args, **kwargs):
        if isinstance(lvl, str):
            lvl = self.LOG_LEVELS.get(lvl.lower(), logging.INFO)
        self.error_log.log(lvl, msg, *args, **kwargs)

    def access(self, resp, req, environ, request_time):
        """The server writes the access log, and does not call this."""

    def now(self):
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")

    def reopen_files(self):
        """The files of handlers are their own business."""

    def close_on_exec(self):
        """Python opens no file so that another program inherits it."""


def configure(cfg):
    """Has `logging.config` do what the settings say; the strongest of them, as in Gunicorn."""
    source, how = None, None
    if cfg.logconfig_dict:
        source, how = "logconfig_dict", lambda: _from_dict(cfg.logconfig_dict)
    elif cfg.logconfig_json:
        source, how = f"logconfig_json: {cfg.logconfig_json}", lambda: _from_json(cfg.logconfig_json)
    elif cfg.logconfig:
        source, how = f"logconfig: {cfg.logconfig}", lambda: _from_file(cfg.logconfig)
    if how is None:
        return
    try:
        how()
    except Exception as error:
        # `logging.config` says where, and its cause why.
        cause = error.__cause__
        reason = f"{error}: {cause}" if cause is not None else str(error) or repr(error)
        raise Unusable(f"{source}: {reason}") from error


def _from_dict(settings):
    import logging.config

    if not isinstance(settings, dict):
        raise TypeError(f"must be a dict, not {settings!r}")
    merged = copy.copy(CONFIG_DEFAULTS)
    merged.update(settings)
    logging.config.dictConfig(merged)


def _from_json(file):
    import json

    with open(file, encoding="utf-8") as text:
        _from_dict(json.load(text))


def _from_file(file):
    import logging.config
    import os

    # It says of a file that is not there what it says of an empty one.
    with open(file, encoding="utf-8"):
        pass
    # A file of this kind may use names of others.
    defaults = {"__file__": file, "here": os.path.dirname(file)}
    for name, value in CONFIG_DEFAULTS.items():
        if isinstance(value, str):
            defaults[name] = value
    logging.config.fileConfig(file, defaults=defaults, disable_existing_loggers=False)


def find(name):
    """What is named: `module.Class`, or `module:Class`."""
    module, _, attribute = name.replace(":", ".").rpartition(".")
    __import__(module)
    return getattr(sys.modules[module], attribute)


def make(name, cfg, warn):
    """The log of the class that is named."""
    try:
        kind = find(name)
    except Exception as error:
        raise Unusable(f"logger_class: {name}: {error}") from error
    access = logging.getLogger("gunicorn.access")
    before = list(access.filters), list(access.handlers)
    if not (isinstance(kind, type) and issubclass(kind, Logger)):
        # Gunicorn's own class, where it is installed: it brings handlers of its own.
        for logger in (logging.getLogger("gunicorn.error"), access):
            for handler in list(logger.handlers):
                if isinstance(handler, (handlers.JournalHandler, handlers.SyslogHandler)):
                    logger.removeHandler(handler)
    try:
        log = kind(cfg)
    except Unusable:
        raise
    except Exception as error:
        raise Unusable(f"logger_class: {name}: {type(error).__name__}: {error}") from error
    for method in ("info", "warning", "error", "exception", "debug"):
        if not callable(getattr(log, method, None)):
            raise Unusable(f"logger_class: {name} has no method {method}: derive it from gunicorn.glogging.Logger")
    theirs = kind.__dict__.get("access") if kind is not Logger else None
    if theirs is not None and kind.__module__.partition(".")[0] not in ("gunicorn", "rgunicorn"):
        warn(f"logger_class: access() of {name} is not called: the server itself logs requests, see accesslog")
    elif (access.filters, access.handlers) != before:
        warn(
            "Requests are not logged with the handlers and filters of gunicorn.access, which get what "
            "the application logs: the server itself logs requests, see accesslog and access_log_filter"
        )
    return log
