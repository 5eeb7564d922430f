"""The hooks that there are, and what they are called with."""

from rgunicorn.application import FUNCTION, METHOD

# What each is called with.
ARGUMENTS = {
    "on_starting": ("server",),
    "on_reload": ("server",),
    "when_ready": ("server",),
    "pre_fork": ("server", "worker"),
    "post_fork": ("server", "worker"),
    "post_worker_init": ("worker",),
    "worker_int": ("worker",),
    "worker_abort": ("worker",),
    "pre_request": ("worker", "req"),
    "post_request": ("worker", "req", "environ", "resp"),
    "child_exit": ("server", "worker"),
    "worker_exit": ("server", "worker"),
    "nworkers_changed": ("server", "new_value", "old_value"),
    "on_exit": ("server",),
    "pre_exec": ("server",),
}

# Hooks of Gunicorn's that are never called.
NEVER_CALLED = (
    "dirty_post_fork",
    "dirty_worker_exit",
    "dirty_worker_init",
    "on_dirty_starting",
    "ssl_context",
)

# Some are content with fewer: old ones of Gunicorn.
FEWEST = {"post_request": 2}

CO_VARARGS = 0x04


def parameters(hook):
    """What it takes at least and at most; `None` where it takes any number, or where that will
    be seen when it is called.

    Only types are asked: a proxy may have any attribute.
    """
    bound = 0
    if type(hook) is METHOD:
        # With its object.
        bound = 1
        hook = hook.__func__
    if type(hook) is not FUNCTION or hook.__code__.co_flags & CO_VARARGS:
        return None
    code = hook.__code__
    most = code.co_argcount - bound
    return most - len(hook.__defaults__ or ()), most


def misfits(finished):
    """The hooks of a configuration that cannot take what they are called with, and what they
    must take."""
    found = {}
    values = vars(finished.module)
    for name, expected in ARGUMENTS.items():
        bounds = parameters(values.get(name))
        if bounds is None:
            continue
        least, most = bounds
        count = len(expected)
        if most < FEWEST.get(name, count) or least > count:
            arguments = "argument" if count == 1 else "arguments"
            found[name] = f"must take {count} {arguments} ({', '.join(expected)}), not {most}"
    return found
