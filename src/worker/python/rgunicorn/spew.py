"""Each line that Python executes, on standard error: for `spew`, which is for debugging."""

import linecache
import sys
import threading


def install():
    """In this thread and in those that begin later."""
    threading.settrace(_trace)
    sys.settrace(_trace)


def _trace(frame, event, argument):
    if event != "line":
        return _trace
    code = frame.f_code
    if code.co_filename.startswith("<frozen"):
        return None
    name = frame.f_globals.get("__name__", code.co_filename)
    line = linecache.getline(code.co_filename, frame.f_lineno, frame.f_globals).strip()
    try:
        sys.stderr.write(f"{name}:{frame.f_lineno}: {line}\n")
    except Exception:
        # The application may have closed it, or put anything in its place.
        pass
    return _trace
