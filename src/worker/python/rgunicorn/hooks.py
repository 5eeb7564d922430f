"""Calls the hooks of a configuration in Python."""

import os
import sys

from rgunicorn.application import showable
from rgunicorn.hook_arguments import ARGUMENTS, parameters
from rgunicorn.hook_config import Config
from rgunicorn.hook_log import Log
from rgunicorn.hook_request import Request, Response
from rgunicorn.hook_server import Server, Worker


class HookFailed(Exception):
    """A hook without which the process cannot go on has failed."""


class Hooks:
    """The hooks of one generation."""

    def __init__(self, finished, settings, addresses, count, emit):
        self.file = finished.file
        values = vars(finished.module)
        self.hooks = {name: values[name] for name in ARGUMENTS if callable(values.get(name))}
        cfg = Config.of(settings, finished.module, addresses)
        configured = sys.modules.get("rgunicorn.log_config")
        self.log = (configured and configured.log) or Log(emit, cfg.loglevel)
        self.server = Server.of(cfg, self.log, addresses, count, os.getppid())
        self.worker = None
        self.workers = {}
        bounds = parameters(self.hooks.get("post_request"))
        self.post_arguments = 4 if bounds is None else min(bounds[1], 4)

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

    def worker_has_pid(self, age, pid):
        worker = self.workers[age]
        worker.pid = pid
        self.server.WORKERS[pid] = worker

    def worker_is_gone(self, age, pid):
        worker = self.workers.pop(age, None) or Worker(age, self.server)
        worker.pid = pid
        self.server.WORKERS.pop(pid, None)
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
