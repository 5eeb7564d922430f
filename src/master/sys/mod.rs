//! The only unsafe code of the master: what the operating system gives as a
//! number becomes something owned.

#![expect(
    unsafe_code,
    reason = "a descriptor that was inherited is known only by its number"
)]

pub mod inherited;
