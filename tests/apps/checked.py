"""Any test application under wsgiref's validator: `checked:wrapped("hello:app")`."""

import importlib
from wsgiref.validate import validator


def wrapped(name):
    module, _, attribute = name.partition(":")
    return validator(getattr(importlib.import_module(module), attribute or "application"))
