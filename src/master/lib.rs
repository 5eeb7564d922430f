//! The rgunicorn master.

pub mod cli;
pub mod config;
pub mod control;
pub mod ctl;
pub mod listeners;
pub mod log;
pub mod message;
pub mod pool;
pub mod sys;
pub mod systemd;
pub mod usage;
