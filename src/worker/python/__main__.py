"""A fork server: the master alone starts it, as `PYTHON THIS_FILE`.

Any Python has to understand this file, however old: it is what says that the
interpreter is too old.
"""

import os
import sys


def main():
    kind = getattr(getattr(sys, "implementation", None), "name", "cpython")
    if kind != "cpython" or sys.version_info[:2] < (3, 10):
        version = ".".join(str(part) for part in sys.version_info[:3])
        return refuse(
            "%s is %s %s, and rgunicorn needs CPython 3.10 or newer: name another interpreter with python="
            % (sys.executable, kind, version)
        )

    held = os.environ.pop("RGUNICORN_HELD_FILES", None)
    if held:
        import_held(held)
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


def import_held(held):
    """Imports our package from descriptors: an upgrade has removed the names of its files.

    Whole, as the descriptors are closed then, which are none of the application's business.
    """
    import importlib.machinery as machinery
    import importlib.util

    class Source(machinery.SourceFileLoader):
        """Of which nothing is cached: the number of a descriptor names another file later."""

        def get_code(self, name):
            with open(self.opened, "rb") as source:
                return compile(source.read(), self.path, "exec", dont_inherit=True)

    lines = held.split("\n")
    folder = lines[0]
    # The number and the name of the file of each module.
    modules = {}
    for line in lines[1:]:
        number, file = line.split(" ", 1)
        name = file.split(".")[0].replace("/", ".").removesuffix(".__init__")
        modules[name] = number, file

    class Finder:
        """Finds the modules in whatever order they import each other."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name not in modules:
                return None
            number, file = modules[name]
            opened = "/proc/self/fd/" + number
            if file.endswith(".py"):
                loader = Source(name, folder + "/" + file)
                loader.opened = opened
            else:
                loader = machinery.ExtensionFileLoader(name, opened)
            inside = [] if file.endswith("/__init__.py") else None
            return importlib.util.spec_from_file_location(
                name, loader.path, loader=loader, submodule_search_locations=inside
            )

    sys.meta_path.insert(0, Finder)
    for name in modules:
        if name != "__main__":
            __import__(name)
    sys.meta_path.remove(Finder)
    for number, _ in modules.values():
        os.close(int(number))


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


sys.exit(main())
