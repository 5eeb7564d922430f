"""A small Django project: the admin, sessions, static files, an upload."""
