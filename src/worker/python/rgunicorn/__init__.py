"""What rgunicorn brings into the application's interpreter."""

from ._worker import __version__

__all__ = ["__version__"]
