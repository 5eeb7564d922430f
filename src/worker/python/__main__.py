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
