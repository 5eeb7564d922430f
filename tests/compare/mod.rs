//! Real applications from PyPI, compared with their answers under Gunicorn.
