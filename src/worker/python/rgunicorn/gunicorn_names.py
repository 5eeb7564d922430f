"""What configurations, hooks and applications import from `gunicorn`: the names, with what
stands behind them here. What is not here is not imported by them, or could not work."""

PACKAGES = {"gunicorn", "gunicorn.app", "gunicorn.http", "gunicorn.instrument", "gunicorn.workers"}

# The version of Gunicorn whose settings, hooks and signals are those of rgunicorn.
VERSION = (27, 0, 1)


def fill(module):
    """Gives the module its names."""
    vars(module).update(MODULES[module.__name__]())


def _gunicorn():
    version = ".".join(map(str, VERSION))
    return {
        "version_info": VERSION,
        "__version__": version,
        # What is assigned to these has no effect: a proxy can change the field Server.
        "SERVER": "rgunicorn",
        "SERVER_SOFTWARE": f"rgunicorn/{version}",
    }


def _arbiter():
    from rgunicorn.hook_server import Server

    return {"Arbiter": Server}


def _config():
    from rgunicorn.hook_config import Config, Setting

    return {"Config": Config, "Setting": Setting}


def _errors():
    return {
        name: type(name, (base,), {"__module__": "gunicorn.errors"})
        for name, base in (
            ("HaltServer", BaseException),
            ("ConfigError", Exception),
            ("AppImportError", Exception),
        )
    }


def _glogging():
    from rgunicorn import glogging

    return {
        "Logger": glogging.Logger,
        "CONFIG_DEFAULTS": glogging.CONFIG_DEFAULTS,
        "logging": glogging.logging,
    }


def _statsd():
    from rgunicorn.glogging import Logger

    return {"Statsd": Logger}


def _util():
    import os

    from rgunicorn.application import load

    return {"import_app": load, "getcwd": os.getcwd, "load_class": _load_class}


def _load_class(uri, default=None, section=None):
    """The class that is named, or `uri` itself if it is one."""
    from rgunicorn.glogging import find

    return uri if isinstance(uri, type) else find(uri)


def _worker_class(name):
    def make():
        from rgunicorn.hook_server import Worker

        return {name: Worker}

    return make


MODULES = {
    "gunicorn": _gunicorn,
    "gunicorn.app": dict,
    "gunicorn.arbiter": _arbiter,
    "gunicorn.config": _config,
    "gunicorn.errors": _errors,
    "gunicorn.glogging": _glogging,
    "gunicorn.http": dict,
    "gunicorn.instrument": dict,
    "gunicorn.instrument.statsd": _statsd,
    "gunicorn.util": _util,
    "gunicorn.workers": dict,
    "gunicorn.workers.base": _worker_class("Worker"),
    "gunicorn.workers.sync": _worker_class("SyncWorker"),
    "gunicorn.workers.gthread": _worker_class("ThreadWorker"),
}
