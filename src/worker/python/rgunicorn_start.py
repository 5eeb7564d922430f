"""What a fork server does before it can be one.

Any Python has to understand this file, however old: it is what says that the
interpreter is too old.
"""

import os
import sys

# What every fork server imports, and the code that it keeps for `import logging`.
ALWAYS_COMPILED = ("__init__", "application", "gunicorn_finder", "log_settings", "logging")


def main(prepare_package):
    """`prepare_package` makes our package importable. Returns the process's exit status."""
    kind = getattr(getattr(sys, "implementation", None), "name", "cpython")
    if kind != "cpython" or sys.version_info[:2] < (3, 10):
        version = ".".join(str(part) for part in sys.version_info[:3])
        return refuse(
            "%s is %s %s, and rgunicorn needs CPython 3.10 or newer: name another interpreter with python="
            % (sys.executable, kind, version)
        )

    prepare_package()
    from rgunicorn import _worker

    master = os.environ.pop("RGUNICORN_MASTER_VERSION", None)
    if master not in (None, _worker.__version__):
        return refuse(
            "the worker files in %s are of rgunicorn %s and the master is %s: restart the service"
            % (sys.path[0], _worker.__version__, master)
        )

    # Python put this folder first. The application must not find anything here,
    # but `import rgunicorn` goes on to work: the package is loaded.
    del sys.path[0]
    return _worker.main()


def compile_package():
    """Has a child compile our modules if that has not been done: a process keeps much of the
    memory that compiling takes, and all processes of the site are forked from this one."""
    # Already loaded; `importlib.util`, where its names are public, would take memory itself.
    import _frozen_importlib_external as external

    folder = sys.path[0] + "/rgunicorn/"
    if sys.dont_write_bytecode or is_file(external.cache_from_source(folder + "logging.py")):
        return
    try:
        child = os.fork()
    except OSError:
        # They are compiled here, then.
        return
    if child == 0:
        all_whole = False
        try:
            all_whole = all([compile_module(folder, name, external) for name in ALWAYS_COMPILED])
        finally:
            os._exit(0 if all_whole else 1)
    if os.waitpid(child, 0)[1] != 0:
        # What is imported here would be left in parts, too.
        sys.dont_write_bytecode = True


def compile_module(folder, name, external):
    """Whether no part of its bytecode is left in the file: on a full disk, Python leaves one and
    does not notice, and later cannot read it."""
    path = folder + name + ".py"
    loader = external.SourceFileLoader("rgunicorn." + name, path)
    try:
        # The second time, it is read from where the first time has written it.
        for _ in range(2):
            loader.get_code(loader.name)
    except (EOFError, TypeError, ValueError):
        os.unlink(external.cache_from_source(path))
        return False
    return True


def is_file(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def refuse(summary):
    """Tells the master, as `FromForkServer::LoadFailed`, why the fork server cannot start."""
    import json
    import select

    link = 3
    boot_failed = 3
    failure = {"LoadFailed": {"status": boot_failed, "summary": summary, "traceback": ""}}
    try:
        # The master would not read what is sent by one who left its orders unread.
        select.select([link], [], [], 10)
        os.read(link, 1 << 20)
        os.write(link, json.dumps(failure).encode("utf-8"))
    except OSError:
        # It was not started by the master.
        sys.stderr.write("rgunicorn: %s\n" % summary)
    return boot_failed
