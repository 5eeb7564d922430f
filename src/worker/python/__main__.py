"""A fork server: the master starts it as `PYTHON THIS_FOLDER`, nobody else does."""

import sys


def main():
    from rgunicorn import _worker

    # Python put this folder first. The application must not find anything here,
    # but `import rgunicorn` goes on to work: the package is loaded.
    del sys.path[0]
    return _worker.main()


sys.exit(main())
