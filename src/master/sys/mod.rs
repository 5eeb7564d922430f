//! The only unsafe code of the master: what a process inherits, and what no library
//! has a safe call for.

#![expect(
    unsafe_code,
    reason = "an inherited descriptor is known only by its number, a signal handler could be any code, socket options are pointers, real-time signals have no names, code between fork and exec is limited, and a copy of a process has one of its threads"
)]

pub mod defer_accept;
pub mod dispositions;
pub mod fork;
pub mod handed_over;
pub mod inherited;
pub mod peer;
pub mod realtime_signal;
pub mod run_as;
pub mod tcp_info;
