"""How `logging` is to write into the server's log, and the moment to prepare it for that: when
the application imports it. Until then it would only take memory in every process of the site.
"""

import sys

MODULE = "rgunicorn.logging"

# Where the log is: "journal" or "stderr". `None`: this process is none of the server's.
destination = None

# The file that records go to instead, if there is one.
file = None

# The least level of records that are logged, as `logging` counts them.
level = 20

# What all records have in the journal.
fields = []

# Whether workers send records to syslog, too.
syslog = False

# The number of the worker that this process is.
worker = None

# The module that prepares `logging`: an upgrade may remove its file before it is needed.
_code = None


def begin(new_destination, new_file, new_level, new_fields, to_syslog):
    """Says where the log is. Once more when the configuration has been read."""
    global destination, file, level, fields, syslog, _code
    destination, file, level, fields = new_destination, new_file, new_level, new_fields
    syslog = to_syslog
    prepared = sys.modules.get(MODULE)
    if prepared is not None:
        prepared.prepare()
    elif "logging" in sys.modules:
        _prepare()
    elif _code is None:
        path = __file__.rpartition("/")[0] + "/logging.py"
        _code = type(__loader__)(MODULE, path).get_code(MODULE)
        sys.meta_path.insert(0, WhenImported)


def become_worker(number):
    global worker
    worker = number


class WhenImported:
    """Finds `logging` where everybody else does, and prepares it when it is loaded."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "logging":
            return None
        if cls in sys.meta_path:
            sys.meta_path.remove(cls)
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = find and find(name, path, target)
            if spec is not None:
                _prepare_after(spec.loader)
                return spec
        return None


def _prepare_after(loader):
    execute = loader.exec_module

    def execute_and_prepare(module):
        # A method of the class, from now on.
        del loader.exec_module
        execute(module)
        _prepare()

    try:
        loader.exec_module = execute_and_prepare
    except AttributeError:
        # It is not Python's own, and takes no attributes: nothing is prepared.
        pass


def _prepare():
    """Loads what prepares `logging`. Importing that is the application's business: it must
    not fail because of the server."""
    if MODULE in sys.modules:
        # It is being imported, and does it at its end.
        return
    try:
        if _code is None:
            __import__(MODULE)
            return
        package = sys.modules["rgunicorn"]
        module = type(sys)(MODULE)
        module.__file__ = _code.co_filename
        module.__package__ = "rgunicorn"
        exec(_code, module.__dict__)
        sys.modules.setdefault(MODULE, module)
        package.logging = sys.modules[MODULE]
    except Exception as error:
        sys.stderr.write(f"<4>The loggers of gunicorn have no handlers: {error!r}\n")
