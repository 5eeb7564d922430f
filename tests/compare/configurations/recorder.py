"""Notes which hooks a server calls, and what it shows them. A configuration ends with
`recorder.record(globals())`; what is noted are lines of JSON in the file `calls`."""

import json
import os

# The parameters of each hook, by their kind.
HOOKS = {
    "on_starting": ["server"],
    "when_ready": ["server"],
    "on_reload": ["server"],
    "nworkers_changed": ["server", "new", "old"],
    "pre_fork": ["server", "worker"],
    "post_fork": ["server", "worker"],
    "post_worker_init": ["worker"],
    "worker_int": ["worker"],
    "worker_abort": ["worker"],
    "worker_exit": ["server", "worker"],
    "child_exit": ["server", "worker"],
    "pre_request": ["worker", "req"],
    "post_request": ["worker", "req", "environ", "resp"],
    "on_exit": ["server"],
}


def record(configuration):
    """Replaces each hook by one that notes the call first."""
    for name, parameters in HOOKS.items():
        configuration[name] = noting(name, parameters, configuration.get(name))


def noting(name, parameters, hook):
    def note(*arguments):
        shown = {kind: SHOWN[kind](value) for kind, value in zip(parameters, arguments)}
        if name == "on_starting":
            shown["settings"] = settings(arguments[0].cfg)
        write({"hook": name, "pid": os.getpid(), "shown": shown})
        if hook:
            hook(*arguments[: hook.__code__.co_argcount])

    # Both servers count a hook's parameters.
    names = ", ".join(parameters)
    scope = {"note": note}
    exec(f"def {name}({names}): note({names})", scope)
    return scope[name]


def write(line):
    file = os.open(CALLS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(file, json.dumps(line).encode() + b"\n")
    os.close(file)


# Hooks may change the directory.
CALLS = os.path.abspath("calls")


def settings(cfg):
    return {name: plain(getattr(cfg, name)) for name in sorted(cfg.settings)}


def plain(value):
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return "an object" if not callable(value) else "callable"


def shown(thing, names):
    """Some attributes are there only at some moments, with both servers."""
    if thing is None:
        return None
    return {name: plain(getattr(thing, name, "missing")) for name in names.split()}


def server(server):
    return {
        **shown(server, "num_workers proc_name"),
        "addresses": len(getattr(server, "address", [])),
        "log": shown(server.log, "info exception error_log access_log"),
    }


def worker(worker):
    return {
        **shown(worker, "age booted aborted alive nr timeout max_requests"),
        "own": worker.pid == os.getpid(),
        "sockets": len(worker.sockets),
        "threads": worker.cfg.threads,
    }


def request(req):
    return {
        **shown(req, "method uri path query fragment version scheme trailers"),
        "headers": sorted(name for name, value in req.headers),
        "peer": type(req.peer_addr).__name__,
        "remote": type(req.remote_addr).__name__,
    }


def response(resp):
    names = "status status_code headers_sent sent chunked response_length"
    if resp is None:
        return None
    return {**shown(resp, names), "headers": [name for name, value in resp.headers]}


SHOWN = {
    "server": server,
    "worker": worker,
    "req": request,
    "resp": response,
    "environ": lambda environ: sorted(environ),
    "new": plain,
    "old": plain,
}
