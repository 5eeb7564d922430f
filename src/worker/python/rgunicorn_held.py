"""A fork server, from files that an upgrade has removed: the master starts it with the
descriptors of all of them, this file's first.

Any Python has to understand this file, as `rgunicorn_start.py`.
"""

import os
import sys


def open_files():
    """The folder that they were in, and the number and the name of the file of each module."""
    lines = os.environ.pop("RGUNICORN_HELD_FILES").split("\n")
    modules = {}
    for line in lines[1:]:
        number, file = line.split(" ", 1)
        name = file.split(".")[0].replace("/", ".")
        if name.endswith(".__init__"):
            name = name[: -len(".__init__")]
        modules[name] = number, file
    return lines[0], modules


def source_of(number):
    with open("/proc/self/fd/" + number, "rb") as source:
        return source.read()


def import_all(folder, modules):
    """Imports our package, whole: the descriptors are closed then, which are none of the
    application's business."""
    import importlib.machinery as machinery
    import importlib.util

    class Source(machinery.SourceFileLoader):
        """Of which nothing is cached: the number of a descriptor names another file later."""

        def get_code(self, name):
            return compile(source_of(self.number), self.path, "exec", dont_inherit=True)

    class Finder:
        """Finds the modules in whatever order they import each other."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name not in modules:
                return None
            number, file = modules[name]
            if file.endswith(".py"):
                loader = Source(name, folder + "/" + file)
                loader.number = number
            else:
                loader = machinery.ExtensionFileLoader(name, "/proc/self/fd/" + number)
            inside = [] if file.endswith("/__init__.py") else None
            return importlib.util.spec_from_file_location(
                name, loader.path, loader=loader, submodule_search_locations=inside
            )

    sys.meta_path.insert(0, Finder)
    for name in modules:
        if name.split(".")[0] == "rgunicorn":
            __import__(name)
    sys.meta_path.remove(Finder)
    for number, _ in modules.values():
        os.close(int(number))


def main():
    folder, modules = open_files()
    if getattr(sys.flags, "safe_path", False):
        # By PYTHONSAFEPATH: Python has put no folder first, which is removed in the end.
        sys.path.insert(0, folder)
    start = {"__name__": "rgunicorn_start"}
    number, file = modules["rgunicorn_start"]
    exec(compile(source_of(number), folder + "/" + file, "exec"), start)
    return start["main"](lambda: import_all(folder, modules))


sys.exit(main())
