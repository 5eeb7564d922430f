"""What configurations, hooks and applications import from `gunicorn`: the names, with what
stands behind them here. What is not here is not imported by them, or could not work."""

PACKAGES = {"gunicorn", "gunicorn.app", "gunicorn.http", "gunicorn.instrument", "gunicorn.workers"}

# What Gunicorn raises when a request is malformed.
PARSE_ERRORS = (
    "ChunkMissingTerminator",
    "ConfigurationProblem",
    "ExpectationFailed",
    "ForbiddenProxyRequest",
    "InvalidChunkExtension",
    "InvalidChunkSize",
    "InvalidHTTPVersion",
    "InvalidHeader",
    "InvalidHeaderName",
    "InvalidProxyHeader",
    "InvalidProxyLine",
    "InvalidRequestLine",
    "InvalidRequestMethod",
    "InvalidSchemeHeaders",
    "LimitRequestHeaders",
    "LimitRequestLine",
    "ObsoleteFolding",
    "UnsupportedTransferCoding",
)

# The version of Gunicorn whose settings, hooks and signals are those of rgunicorn.
VERSION = (27, 0, 1)


# The names of each module, once they were needed.
_names = {}


def fill(module, theirs):
    """Gives the module the names that Gunicorn's has: the same objects each time."""
    if theirs not in _names:
        _names[theirs] = MODULES[theirs]()
    vars(module).update(_names[theirs])


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


def _app_base():
    from rgunicorn.application_class import Application
    from rgunicorn.embedding import BaseApplication

    return {"BaseApplication": BaseApplication, "Application": Application}


def _wsgiapp():
    from rgunicorn import application_class

    return {"WSGIApplication": application_class.WSGIApplication, "run": application_class.run}


def _pasterapp():
    from rgunicorn import paste

    return {
        name: getattr(paste, name) for name in ("get_wsgi_app", "has_logging_config", "serve")
    }


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


def _http_errors():
    """For `except`: the server parses requests, and none of these is ever raised."""
    base = type("ParseException", (Exception,), {"__module__": "gunicorn.http.errors"})
    found = {
        name: type(name, (base,), {"__module__": "gunicorn.http.errors"}) for name in PARSE_ERRORS
    }
    found["NoMoreData"] = type("NoMoreData", (OSError,), {"__module__": "gunicorn.http.errors"})
    return {"ParseException": base, **found}


def _http_message():
    from rgunicorn.hook_request import Request

    return {"Message": Request, "Request": Request}


def _http_wsgi():
    from rgunicorn._worker import FileWrapper
    from rgunicorn.hook_request import Response

    return {"FileWrapper": FileWrapper, "Response": Response}


def _statsd():
    from rgunicorn.glogging import Logger

    return {"Statsd": Logger}


def _util():
    import os

    from rgunicorn.application import import_application

    return {"import_app": import_application, "getcwd": os.getcwd, "load_class": _load_class}


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
    "gunicorn.app.base": _app_base,
    "gunicorn.app.pasterapp": _pasterapp,
    "gunicorn.app.wsgiapp": _wsgiapp,
    "gunicorn.arbiter": _arbiter,
    "gunicorn.config": _config,
    "gunicorn.errors": _errors,
    "gunicorn.glogging": _glogging,
    "gunicorn.http": _http_message,
    "gunicorn.http.errors": _http_errors,
    "gunicorn.http.message": _http_message,
    "gunicorn.http.wsgi": _http_wsgi,
    "gunicorn.instrument": dict,
    "gunicorn.instrument.statsd": _statsd,
    "gunicorn.util": _util,
    "gunicorn.workers": dict,
    "gunicorn.workers.base": _worker_class("Worker"),
    "gunicorn.workers.sync": _worker_class("SyncWorker"),
    "gunicorn.workers.gthread": _worker_class("ThreadWorker"),
}
