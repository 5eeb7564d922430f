"""Finds the modules of `gunicorn` where Gunicorn is not installed. Where it is, its own are
found, and none of these."""

import sys

NAME = "gunicorn"


def install():
    # The last one: the others have not found it.
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)


class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != NAME and not name.startswith(NAME + "."):
            return None
        if name != NAME and getattr(sys.modules.get(NAME), "__loader__", None) is not cls:
            return None
        from rgunicorn import gunicorn_names

        if name not in gunicorn_names.MODULES:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, cls, is_package=name in gunicorn_names.PACKAGES)

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        from rgunicorn import gunicorn_names

        module.__loader__ = Finder
        gunicorn_names.fill(module)
