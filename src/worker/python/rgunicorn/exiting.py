"""The end of a worker whose threads are still in the application."""

import atexit
import os
import sys
import threading


def exit_with_threads():
    """What Python does when it exits, except that nothing waits for daemon threads."""
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass
        os._exit(0)
