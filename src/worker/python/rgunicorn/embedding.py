"""Applications that a script starts by itself, as with Gunicorn:

    class Shop(BaseApplication):
        def load_config(self):
            self.cfg.set("workers", 4)

        def load(self):
            return app

    Shop().run()

`run()` makes the process the server's master, which is no Python. The interpreter of each
generation runs the script again, with the same arguments, up to this call: there it tells the
settings, becomes a fork server, and `load()` gives the application.
"""

import os
import sys


def _directory_of_start():
    """Where Python was started, as far as that can be known: the script may have gone somewhere
    else before it imported this."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    # Of a module (-m) or a folder, no word is the end of the file's name.
    if file and getattr(main, "__spec__", None) is None:
        for word in sys.orig_argv[1:]:
            if word == file:
                break
            if file.endswith("/" + word):
                return file[: -len(word) - 1]
    return os.getcwd()


_directory = _directory_of_start()
_process = os.getpid()

# In an interpreter that the master has started: makes it a fork server.
_serve = None

# What that serves.
application = None

# What was `__main__` before the script.
_before = []


class BaseApplication:
    """What a script derives its application from: `load_config` and `load` are its own."""

    def __init__(self, usage=None, prog=None):
        self.usage = usage
        self.prog = prog
        self.cfg = None
        self.callable = None
        self.logger = None
        self.do_load_config()

    def do_load_config(self):
        self.load_default_config()
        self.load_config()

    def load_default_config(self):
        from rgunicorn.hook_config import Config

        self.cfg = Config(self.usage, prog=self.prog)

    def init(self, parser, opts, args):
        raise NotImplementedError

    def load(self):
        raise NotImplementedError

    def load_config(self):
        raise NotImplementedError

    def reload(self):
        """At a reload the script itself is run again."""

    def wsgi(self):
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def run(self):
        """Serves. Does not return."""
        start(self)


class Unstartable(RuntimeError):
    """`run()` was called where no server can begin."""


def start(app):
    """Serves the application. Does not return."""
    from rgunicorn import log_settings

    try:
        _check_process()
        if _serve is not None:
            _become_fork_server(app)
        if log_settings.destination is not None:
            raise Unstartable(
                "run() is called where rgunicorn loads the application already: name the application, "
                "not a script that serves it, or start the script with --config script:PATH"
            )
        _become_master(app)
    except Unstartable as error:
        if log_settings.destination is not None:
            raise
        sys.exit(f"rgunicorn: {error}")


def _check_process():
    multiprocessing = sys.modules.get("multiprocessing.process")
    is_child = multiprocessing is not None and multiprocessing.parent_process() is not None
    if is_child or os.getpid() != _process:
        raise Unstartable(
            "run() is called in a process that the script has forked, which cannot be started again: "
            "call it in the script's own process; to go into the background, set daemon"
        )
    threading = sys.modules.get("threading")
    if threading is not None and threading.current_thread() is not threading.main_thread():
        raise Unstartable("run() has to be called in the main thread")


def _become_fork_server(app):
    """Goes on as the master orders, from here to the end of the process."""
    global _serve, application
    serve, _serve = _serve, None
    application = app
    status = serve(Finished(app.cfg))
    sys.exit(status)


class Finished:
    """What a script has set, in the form of a configuration that has run."""

    text = ""
    indented = {}

    def __init__(self, cfg):
        self.file = sys.argv[0]
        self.module = type(sys)("__config__")
        self.lines = {}
        for name, setting in cfg.settings.items():
            if setting.is_assigned:
                setattr(self.module, name, setting.value)
                file, self.lines[name] = setting.place
                if file != self.file:
                    # In the file of another module.
                    self.lines[name] = None
        if os.getcwd() != _directory and not cfg.settings["chdir"].is_assigned:
            # The script went there.
            self.module.chdir = os.getcwd()


def _become_master(app):
    words = [program(), "--python", sys.executable]
    if app.cfg.print_config:
        words.append("--print-config")
    elif app.cfg.check_config:
        words.append("--check-config")
    main, arguments = script_of(sys.orig_argv)
    words += ["--config", f"script:{main}", "--", *arguments]
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    import signal

    # Python ignores them, and what follows would go on to do so.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(_directory)
    try:
        os.execv(words[0], words)
    except OSError as error:
        raise Unstartable(f"cannot run {words[0]}: {error.strerror}") from None


def script_of(words):
    """What Python was told to run, as `--config` calls it, and its arguments."""
    if not words or not sys.executable:
        raise Unstartable("this Python is part of another program, and cannot be started again")
    words = words[1:]
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word == "--check-hash-based-pycs":
            del words[:1]
        if word.startswith("--"):
            continue
        for at, letter in enumerate(word):
            rest = word[at + 1 :]
            if letter == "m":
                module = rest or words.pop(0)
                return f"-m {module}", words
            if letter == "c":
                words = []
                break
            if letter in "WX":
                if not rest:
                    del words[:1]
                break
        if not words:
            break
    if not words or words[0] == "-":
        raise Unstartable(
            "each generation runs the script again that calls run(): there has to be one, "
            "so write this into a file"
        )
    path = os.path.join(_directory, words[0])
    if not os.path.exists(path):
        raise Unstartable(f"each generation runs the script again that calls run(), and there is no {path}")
    return path, words[1:]


def program():
    """The program `rgunicorn` that belongs to this package, or the one in PATH."""
    import shutil
    import sysconfig

    worker = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    # In a build tree, where packages put it, and where pip does.
    places = [
        os.path.dirname(worker),
        os.path.normpath(os.path.join(worker, "../../../../bin")),
        sysconfig.get_path("scripts"),
        os.path.dirname(sys.executable),
    ]
    for place in places:
        found = os.path.join(place, "rgunicorn")
        if os.path.isfile(found) and os.access(found, os.X_OK):
            return found
    found = shutil.which("rgunicorn")
    if found is None:
        looked = ", ".join(dict.fromkeys(places))
        raise Unstartable(
            f"there is no program rgunicorn in {looked}, nor in PATH: install the package rgunicorn"
        )
    return os.path.abspath(found)


def run_file(path, arguments, serve):
    """Runs a script as Python would; `serve` is for its `run()`."""
    sys.argv = [path, *arguments]
    if os.path.isdir(path) or _is_archive(path):
        from importlib.machinery import PathFinder

        sys.path.insert(0, path)
        spec = PathFinder.find_spec("__main__", [path])
        if spec is None:
            raise ImportError(f"there is no __main__.py in {path}")
        return _run(spec.loader.get_code("__main__"), spec, path, serve)
    sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    with open(path, "rb") as file:
        source = file.read()
    _run(compile(source, path, "exec", dont_inherit=True), None, path, serve)


def _is_archive(path):
    with open(path, "rb") as file:
        start = file.read(2)
        if start == b"PK":
            return True
        if start != b"#!":
            return False
    import zipfile

    return zipfile.is_zipfile(path)


def run_module(name, arguments, serve):
    """Runs a module as `python -m` would; `serve` is for its `run()`."""
    from importlib.util import find_spec

    sys.argv = ["-m", *arguments]
    sys.path.insert(0, _directory)
    spec = find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = find_spec(name + ".__main__")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    sys.argv[0] = spec.origin
    _run(spec.loader.get_code(spec.name), spec, spec.origin, serve)


def _run(code, spec, file, serve):
    global _serve, _process
    _serve, _process = serve, os.getpid()
    from rgunicorn import gunicorn_finder

    # Also where Gunicorn is installed: its own classes would start another server.
    gunicorn_finder.prefer()
    main = type(sys)("__main__")
    main.__file__ = file
    main.__spec__ = spec
    main.__package__ = spec.parent if spec is not None else None
    # What runs now goes on to use it.
    _before.append(sys.modules["__main__"])
    sys.modules["__main__"] = main
    exec(code, main.__dict__)
