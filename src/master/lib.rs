//! The rgunicorn master.
