"""The hooks of a configuration in Python, and the objects that they are called with."""

import os
import sys

from rgunicorn.application import FUNCTION, METHOD, showable

# What each is called with.
ARGUMENTS = {
    "on_starting": ("server",),
    "on_reload": ("server",),
    "when_ready": ("server",),
    "pre_fork": ("server", "worker"),
    "post_fork": ("server", "worker"),
    "post_worker_init": ("worker",),
    "worker_int": ("worker",),
    "worker_abort": ("worker",),
    "pre_request": ("worker", "req"),
    "post_request": ("worker", "req", "environ", "resp"),
    "child_exit": ("server", "worker"),
    "worker_exit": ("server", "worker"),
    "nworkers_changed": ("server", "new_value", "old_value"),
    "on_exit": ("server",),
    "pre_exec": ("server",),
}

# Hooks of Gunicorn's that are never called.
NEVER_CALLED = (
    "dirty_post_fork",
    "dirty_worker_exit",
    "dirty_worker_init",
    "on_dirty_starting",
    "pre_exec",
    "ssl_context",
)

# Settings that are texts also where nothing sets them, and those that are lists.
TEXTS = ("dogstatsd_tags", "root_path", "statsd_prefix")
LISTS = ("http_protocols", "uwsgi_allow_ips")

# Of `logging`.
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

# Some are content with fewer: old ones of Gunicorn.
FEWEST = {"post_request": 2}

CO_VARARGS = 0x04


class HookFailed(Exception):
    """A hook without which the process cannot go on has failed."""


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


def _parameters(hook):
    """What it takes at least and at most; `None` where it takes any number, or where that will
    be seen when it is called.

    Only types are asked: a proxy may have any attribute.
    """
    bound = 0
    if type(hook) is METHOD:
        # With its object.
        bound = 1
        hook = hook.__func__
    if type(hook) is not FUNCTION or hook.__code__.co_flags & CO_VARARGS:
        return None
    code = hook.__code__
    most = code.co_argcount - bound
    return most - len(hook.__defaults__ or ()), most


def misfits(finished):
    """The hooks of a configuration that cannot take what they are called with, and what they
    must take."""
    found = {}
    values = vars(finished.module)
    for name, expected in ARGUMENTS.items():
        parameters = _parameters(values.get(name))
        if parameters is None:
            continue
        least, most = parameters
        count = len(expected)
        if most < FEWEST.get(name, count) or least > count:
            arguments = "argument" if count == 1 else "arguments"
            found[name] = f"must take {count} {arguments} ({', '.join(expected)}), not {most}"
    return found


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


class Setting:
    """One setting, as `cfg.settings` has them."""

    def __init__(self, name, value):
        self.name = name
        self.value = value

    def get(self):
        return self.value

    def set(self, value):
        self.value = value


class Config:
    """The settings, by Gunicorn's names."""

    def __init__(self, settings, module, addresses):
        for name, value in vars(module).items():
            # What has no effect here is what the file says.
            if name in settings and settings[name] is None:
                settings[name] = value
        for name in (*ARGUMENTS, *NEVER_CALLED):
            if settings.get(name) is None:
                settings[name] = _nothing
        for name in TEXTS:
            settings[name] = settings.get(name) or ""
        for name in LISTS:
            if isinstance(settings.get(name), str):
                settings[name] = [item.strip() for item in settings[name].split(",")]
        settings["user"] = _number_of_user(settings.get("user"))
        settings["group"] = _number_of_group(settings.get("group"))
        settings["umask"] = _umask(settings.get("umask"))
        self.settings = {name: Setting(name, value) for name, value in settings.items()}
        self.address = addresses

    def __getattr__(self, name):
        try:
            return self.__dict__["settings"][name].get()
        except KeyError:
            raise AttributeError(f"no configuration setting for: {name}") from None

    def set(self, name, value):
        """For hooks that read it: what the server does was decided before."""
        if name not in self.settings:
            raise AttributeError(f"no configuration setting for: {name}")
        self.settings[name].set(value)

    @property
    def uid(self):
        return self.user

    @property
    def gid(self):
        return self.group

    @property
    def worker_class_str(self):
        return self.worker_class

    @property
    def env(self):
        pairs = (pair.partition("=") for pair in self.raw_env)
        return {name: value for name, _, value in pairs}

    @property
    def sendfile(self):
        configured = self.settings["sendfile"].get()
        return True if configured is None else configured

    @property
    def is_ssl(self):
        return False


def _nothing(*_arguments):
    """A hook that is not set."""


def _number_of_user(user):
    if user is None:
        return os.geteuid()
    try:
        return int(user)
    except ValueError:
        import pwd

        try:
            return pwd.getpwnam(user).pw_uid
        except KeyError:
            return os.geteuid()


def _number_of_group(group):
    if group is None:
        return os.getegid()
    try:
        return int(group)
    except ValueError:
        import grp

        try:
            return grp.getgrnam(group).gr_gid
        except KeyError:
            return os.getegid()


def _umask(umask):
    if isinstance(umask, str):
        return int(umask, 8)
    if umask is None:
        # It can only be read by setting it.
        umask = os.umask(0o077)
        os.umask(umask)
    return umask


class Application:
    """The application that is served."""

    def __init__(self, cfg):
        self.cfg = cfg
        self.callable = None

    def wsgi(self):
        """The WSGI callable; loaded here if it was not yet."""
        if self.callable is None:
            from rgunicorn.application import load

            self.callable = load(self.cfg.wsgi_app)
        return self.callable


class Listener:
    """A socket that the server listens on. The sockets themselves are the master's and the
    workers'."""

    def __init__(self, address):
        self._address = address

    def getsockname(self):
        return self._address

    def __str__(self):
        if isinstance(self._address, str):
            return f"unix:{self._address}"
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server:
    """What Gunicorn calls the arbiter."""

    def __init__(self, cfg, log, addresses, count, master):
        self.cfg = cfg
        self.log = log
        self.app = Application(cfg)
        self.address = addresses
        self.LISTENERS = [Listener(address) for address in addresses]
        # Only the master knows their numbers.
        self.WORKERS = {}
        self.num_workers = count
        self.pid = master
        self.ppid = _parent_of(master)
        self.master_name = "Master"
        self.proc_name = cfg.proc_name
        self.timeout = cfg.timeout
        self.worker_age = 0


class Temporary:
    """The file by which Gunicorn's workers show that they live."""

    def notify(self):
        """The server sees by itself that a worker lives."""

    def close(self):
        """There is no such file."""


class Worker:
    """A worker, in its own process or as its server knows it."""

    def __init__(self, age, server):
        self.age = age
        self.pid = "[booting]"
        self.ppid = server.pid
        self.app = server.app
        self.cfg = server.cfg
        self.log = server.log
        # How often Gunicorn's workers show that they live.
        self.timeout = server.timeout / 2
        self.sockets = server.LISTENERS
        self.booted = False
        self.aborted = False
        self.alive = True
        self.wsgi = None
        self.tmp = Temporary()
        self.max_requests = server.cfg.max_requests or sys.maxsize
        # In the worker, what says how many requests it has answered.
        self._count = None
        self._more = 0

    @property
    def nr(self):
        """How many requests it has handled."""
        return self._more + (self._count() if self._count else 0)

    @nr.setter
    def nr(self, value):
        self._more += value - self.nr

    def __str__(self):
        return f"<Worker {self.pid}>"

    def notify(self):
        """The server sees by itself that a worker lives."""


class Request:
    """A request, as `pre_request` and `post_request` see it."""

    def __init__(self, environ):
        self.method = environ["REQUEST_METHOD"]
        self.uri = environ["RAW_URI"]
        target, _, self.fragment = self.uri.partition("#")
        self.path = target.partition("?")[0]
        self.query = environ["QUERY_STRING"]
        self.scheme = environ["wsgi.url_scheme"]
        major, _, minor = environ["SERVER_PROTOCOL"].rpartition("/")[2].partition(".")
        self.version = (int(major), int(minor or 0))
        self.headers = [
            (name.removeprefix("HTTP_").replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        ]
        port = environ.get("REMOTE_PORT")
        port = None if port is None else int(port)
        self.remote_addr = self.peer_addr = (environ["REMOTE_ADDR"], port)
        self.body = environ["wsgi.input"]
        self.trailers = []

    def _state(self):
        """What a hook may change of it with effect."""
        line = (self.method, self.uri, self.path, self.query, self.scheme)
        return (*line, list(self.headers))

    def _write_changes(self, before, environ):
        """Tells the application what a hook has changed since the state was `before`."""
        method, uri, path, query, scheme, headers = before
        if self.method != method:
            environ["REQUEST_METHOD"] = self.method
        if self.uri != uri:
            environ["RAW_URI"] = self.uri
        if self.path != path:
            environ["PATH_INFO"] = _path_info(self.path, environ["SCRIPT_NAME"])
        if self.query != query:
            environ["QUERY_STRING"] = self.query
        if self.scheme != scheme:
            environ["wsgi.url_scheme"] = self.scheme
        if self.headers != headers:
            values = {}
            for name, value in self.headers:
                key = _key(name)
                if key in values:
                    separator = "; " if key == "HTTP_COOKIE" else ","
                    value = f"{values[key]}{separator}{value}"
                values[key] = value
            for name, _ in headers:
                if _key(name) not in values:
                    environ.pop(_key(name), None)
            environ.update(values)


def _key(name):
    """The variable of the environ that a header becomes."""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def _path_info(path, script_name):
    from urllib.parse import unquote_to_bytes

    try:
        # As the client's bytes are told.
        path = path.encode("latin-1")
    except UnicodeEncodeError:
        path = path.encode("utf-8")
    path = unquote_to_bytes(path).decode("latin-1")
    rest = path.removeprefix(script_name)
    if script_name and (rest == path or rest[:1] not in ("", "/")):
        raise ValueError(
            f"pre_request has changed the path to {path!r}, "
            f"but the application is mounted at {script_name!r}"
        )
    return rest


class Response:
    """What was answered, as `post_request` sees it."""

    def __init__(self, request, status, headers, sent):
        self.status = status
        self.status_code = int(status[:3]) if status else None
        self.headers = headers or []
        lengths = (value for name, value in self.headers if name.lower() == "content-length")
        length = next(lengths, None)
        self.response_length = None if length is None else int(length)
        self.headers_sent = status is not None
        # The engine leaves out bodies that must not be there (RFC 9110, section 6.4.1).
        may_have_body = request.method != "HEAD" and self.status_code not in (None, 204, 304)
        self.sent = sent if may_have_body else 0
        self.chunked = may_have_body and length is None and request.version >= (1, 1)


class Hooks:
    """The hooks of one generation."""

    def __init__(self, finished, settings, addresses, count, emit):
        self.file = finished.file
        values = vars(finished.module)
        self.hooks = {name: values[name] for name in ARGUMENTS if callable(values.get(name))}
        cfg = Config(settings, finished.module, addresses)
        configured = sys.modules.get("rgunicorn.log_config")
        self.log = (configured and configured.log) or Log(emit, cfg.loglevel)
        self.server = Server(cfg, self.log, addresses, count, os.getppid())
        self.worker = None
        self.workers = {}
        parameters = _parameters(self.hooks.get("post_request"))
        self.post_arguments = 4 if parameters is None else min(parameters[1], 4)

    def _call(self, name, *arguments):
        """Calls a hook whose failure is logged. Returns whether it did not fail."""
        hook = self.hooks.get(name)
        if hook is None:
            return True
        process = os.getpid()
        try:
            hook(*arguments)
        except BaseException as error:
            _let_children_exit(error, process)
            self.log.exception("The hook %s of %s failed", name, self.file)
            return False
        return True

    def _require(self, name, *arguments):
        """Calls a hook without whose success the process cannot go on."""
        hook = self.hooks.get(name)
        if hook is None:
            return
        process = os.getpid()
        try:
            hook(*arguments)
        except BaseException as error:
            _let_children_exit(error, process)
            raise HookFailed(
                f"the hook {name} failed: {type(error).__name__}: {_text(error)}"
            ) from error

    # In the fork server.

    def generation_begins(self, before):
        """Before the application is preloaded. `before` is how many workers there were."""
        self._call("nworkers_changed", self.server, self.server.num_workers, before)

    def application_is_loaded(self, application):
        """The application was preloaded."""
        self.server.app.callable = application

    def service_starts(self):
        self._require("on_starting", self.server)
        self._require("when_ready", self.server)

    def service_reloads(self):
        self._require("on_reload", self.server)

    def count_changed(self, count):
        before, self.server.num_workers = self.server.num_workers, count
        self._call("nworkers_changed", self.server, count, before)

    def worker_is_forked(self, age):
        worker = self.workers[age] = Worker(age, self.server)
        self.server.worker_age = age
        self._call("pre_fork", self.server, worker)

    def worker_is_gone(self, age, pid):
        worker = self.workers.pop(age, None) or Worker(age, self.server)
        worker.pid = pid
        self._call("child_exit", self.server, worker)

    def program_is_executed(self):
        """Before another program takes over. If the hook fails, it does not."""
        return self._call("pre_exec", self.server)

    def service_ends(self):
        self._call("on_exit", self.server)

    # In a worker.

    def become_worker(self, age, emit, count):
        worker = self.workers.get(age) or Worker(age, self.server)
        self.workers = {}
        worker.pid = os.getpid()
        self.log._emit = emit
        if not self.has_request_hooks():
            # Else they are counted here: a hook has to see the request that it is called for.
            worker._count = count
        # A signal may end the worker at any point: from here on its hooks hear of its end.
        self.worker = worker
        self._require("post_fork", self.server, self.worker)

    def loaded_application(self):
        """The application, if a hook has loaded it."""
        return self.server.app.callable

    def worker_is_ready(self, application):
        self.server.app.callable = self.worker.wsgi = application
        self._require("post_worker_init", self.worker)
        self.worker.booted = True

    def worker_is_interrupted(self):
        if self.worker is None:
            return
        self.worker.alive = False
        self._call("worker_int", self.worker)

    def has_request_hooks(self):
        return "pre_request" in self.hooks or "post_request" in self.hooks

    def request_begins(self, environ):
        """What it raises is the application's answer to the request."""
        request = Request(environ)
        hook = self.hooks.get("pre_request")
        if hook is None:
            return request
        before = request._state()
        process = os.getpid()
        try:
            hook(self.worker, request)
            request._write_changes(before, environ)
        except BaseException as error:
            _let_children_exit(error, process)
            arguments = (self.worker, request, {}, None)
            self._call("post_request", *arguments[: self.post_arguments])
            raise
        return request

    def request_ends(self, request, environ, status, headers, sent):
        self.worker.nr += 1
        hook = self.hooks.get("post_request")
        if hook is None:
            return
        arguments = (self.worker, request, environ, Response(request, status, headers, sent))
        self._call("post_request", *arguments[: self.post_arguments])

    def aborts(self):
        """Whether a worker that is stuck calls a hook."""
        return "worker_abort" in self.hooks

    def abort(self, _signal, _frame):
        """Python runs again in a worker that the master has aborted."""
        self.worker.alive = False
        self.worker.aborted = True
        try:
            self._call("worker_abort", self.worker)
            self._call("worker_exit", self.server, self.worker)
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except (AttributeError, OSError, ValueError):
                    pass
        finally:
            # What is stuck may catch an exception.
            os._exit(1)

    def worker_exits(self):
        if self.worker is None:
            return
        self.worker.alive = False
        self._call("worker_exit", self.server, self.worker)


def _let_children_exit(error, process):
    """Raises what ends a process that the hook has forked: it is not the hook's failure."""
    if os.getpid() != process:
        raise error


def _text(error):
    try:
        return str(error)
    except Exception:
        return "an exception that Python cannot show"


def explain(error):
    """One line for the operator, and the traceback of what the hook raised."""
    from rgunicorn.application import explain

    summary = showable(str(error))
    if error.__cause__ is None:
        return summary, ""
    return summary, explain(error.__cause__)[1]


def _parent_of(pid):
    """The parent of a process, which need not be our own."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0
