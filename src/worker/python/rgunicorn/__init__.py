"""What rgunicorn brings into the application's interpreter."""

from . import gunicorn_finder
from ._worker import __version__, request_id

gunicorn_finder.install()

__all__ = ["__version__", "request_id"]
