"""What rgunicorn brings into the application's interpreter."""

from ._worker import __version__, request_id

__all__ = ["__version__", "request_id"]
