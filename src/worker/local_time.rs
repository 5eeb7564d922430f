//! Local time, as the application's process has it: `TZ` and `time.tzset()` count, which Django
//! calls.

use nix::libc;

/// The difference of local time to UTC at `second`, both in seconds; 0 if it is unknown.
#[expect(
    unsafe_code,
    reason = "the time zone is the C library's, as Python's is"
)]
pub fn offset(second: i64) -> i32 {
    let mut local = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to values of our own, which outlive the call. Unlike
    // `localtime`, it uses no memory that it shares; the C library has a lock for its zone.
    let found = unsafe { libc::localtime_r(&raw const second, local.as_mut_ptr()) };
    if found.is_null() {
        return 0;
    }
    // SAFETY: all zero bytes are a valid `tm` (numbers, and a pointer that may be null), and
    // it was filled since.
    let offset = unsafe { local.assume_init() }.tm_gmtoff;
    i32::try_from(offset).unwrap_or(0)
}
