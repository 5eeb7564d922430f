//! The only unsafe code of the master: what a process inherits.

#![expect(
    unsafe_code,
    reason = "an inherited descriptor is known only by its number, and a signal handler could be any code"
)]

pub mod dispositions;
pub mod inherited;
