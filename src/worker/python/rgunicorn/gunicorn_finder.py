"""Finds the modules of `gunicorn` where Gunicorn is not installed, and the same ones below
`rgunicorn`. Where Gunicorn is installed, its own are found."""

import sys

NAME = "gunicorn"

# `rgunicorn.config` is `gunicorn.config`, and so on.
OURS = "rgunicorn."


def install():
    # The last one: the others have not found it.
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)


def prefer():
    """Has those of `gunicorn` found also where Gunicorn is installed."""
    sys.meta_path.insert(0, First)


class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.startswith(OURS):
            return _spec(name)
        if name == NAME or (name.startswith(NAME + ".") and _is_ours()):
            return _spec(name)
        return None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        from rgunicorn import gunicorn_names

        module.__loader__ = Finder
        gunicorn_names.fill(module, _theirs(module.__name__))


class First:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        # What is below `rgunicorn` may be in a file.
        return None if name.startswith(OURS) else Finder.find_spec(name)


def _is_ours():
    return getattr(sys.modules.get(NAME), "__loader__", None) is Finder


def _theirs(name):
    return name[1:] if name.startswith(OURS) else name


def _spec(name):
    from rgunicorn import gunicorn_names

    theirs = _theirs(name)
    if theirs not in gunicorn_names.MODULES:
        return None
    from importlib.machinery import ModuleSpec

    return ModuleSpec(name, Finder, is_package=theirs in gunicorn_names.PACKAGES)
