//! The request that a thread answers, for what the application logs meanwhile.
//!
//! To a request this costs two stores. Its name is made only when somebody asks for it.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rgunicorn_engine::Request;
use rgunicorn_link::output_mark::of as mark_of;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

thread_local! {
    static CURRENT: Cell<Option<NonNull<Request>>> = const { Cell::new(None) };
}

/// The pid of the worker, which is part of names: a child of the application's that writes
/// something has another one.
static WORKER: AtomicU32 = AtomicU32::new(0);

pub fn set_worker(pid: u32) {
    WORKER.store(pid, Relaxed);
}

/// Does something that is about `request`.
pub fn during<T>(request: &Request, answer: impl FnOnce() -> T) -> T {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            CURRENT.set(None);
        }
    }
    CURRENT.set(Some(NonNull::from(request)));
    // Also if it panics.
    let _end = End;
    answer()
}

/// The name of this thread's request, as the access log has it.
fn name() -> Option<String> {
    let request = CURRENT.get()?;
    #[expect(unsafe_code, reason = "the request is lent for the length of a call")]
    // SAFETY: only `during` sets the pointer, of a reference that is valid for as long as it
    // runs, and it is reset before that returns or unwinds. It is this thread's alone.
    let request = unsafe { request.as_ref() };
    Some(request.name(WORKER.load(Relaxed)))
}

/// The id of the request that this thread serves, as the field `REQUEST_ID` of the log has it;
/// None outside of one.
#[pyfunction]
pub fn request_id() -> Option<String> {
    name()
}

/// What is to stand in front of what this thread writes.
#[pyfunction]
pub fn output_mark(py: Python<'_>) -> Option<Bound<'_, PyBytes>> {
    name().map(|name| PyBytes::new(py, &mark_of(&name)))
}
