"""rgunicorn, as `pip install` puts it into a virtual environment: see `rgunicorn --help`.

The modules are in the folder that the server runs its workers from. In a worker,
`import rgunicorn` is what is there, and not this file.
"""

__path__.append(f"{__path__[0]}/@VERSION@/worker/rgunicorn")

from . import gunicorn_finder  # noqa: E402
from ._worker import __version__  # noqa: E402

gunicorn_finder.install()

__all__ = ["__version__"]
