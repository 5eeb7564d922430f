//! The rgunicorn master.

pub mod pool;
