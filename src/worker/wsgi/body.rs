//! The body that an application returned, on its way to the client.

use super::FileWrapper;
use super::latin1;
use super::start_response::{Failure, StartResponse, flush};
use crate::forking;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use rgunicorn_engine::Flow;

/// Sends `body` as far as the client takes it; the engine keeps the rest.
pub fn send(response: &Bound<'_, StartResponse>, body: &Bound<'_, PyAny>) -> Result<(), Failure> {
    if let Ok(list) = body.cast_exact::<PyList>() {
        // Another thread can change the list while this one waits for the client.
        send_all(response, &list.to_tuple())?;
    } else if let Ok(tuple) = body.cast_exact::<PyTuple>() {
        send_all(response, tuple)?;
    } else if !send_file(response, body)? {
        send_each(response, body)?;
    }
    let mut response = response.borrow_mut();
    response.responder()?.end();
    Ok(())
}

/// A list or tuple: its length is known, and its pieces go out together.
fn send_all(
    response: &Bound<'_, StartResponse>,
    pieces: &Bound<'_, PyTuple>,
) -> Result<(), Failure> {
    let py = response.py();
    let mut length = 0;
    for piece in pieces.iter_borrowed() {
        length += bytes_of(&piece)?.len() as u64;
    }
    let mut inner = response.borrow_mut();
    inner.start(py, Some(length))?;
    for piece in pieces.iter_borrowed() {
        if inner.push(bytes_of(&piece)?)? == Flow::Full {
            drop(inner);
            flush(response)?;
            inner = response.borrow_mut();
        }
    }
    Ok(())
}

/// A body whose pieces the application makes one by one.
fn send_each(response: &Bound<'_, StartResponse>, body: &Bound<'_, PyAny>) -> Result<(), Failure> {
    let py = body.py();
    for piece in body.try_iter()? {
        forking::exit_if_child(py, &piece);
        let piece = piece?;
        let bytes = bytes_of(&piece)?;
        // Nothing is committed before the first byte of the body: an
        // application may still think better of it.
        if bytes.is_empty() {
            continue;
        }
        {
            let mut response = response.borrow_mut();
            response.start(py, None)?;
            response.push(bytes)?;
            // PEP 3333: nothing that follows could be sent, and it may be endless. What
            // there is goes out with the other responses of this turn.
            if response.is_complete() {
                return Ok(());
            }
        }
        flush(response)?;
    }
    response.borrow_mut().start(py, Some(0))
}

/// Lets the kernel send the file, if the body is one. `false`: it has to be read.
fn send_file(
    response: &Bound<'_, StartResponse>,
    body: &Bound<'_, PyAny>,
) -> Result<bool, Failure> {
    let py = body.py();
    let Ok(wrapper) = body.cast_exact::<FileWrapper>() else {
        return Ok(false);
    };
    let Some(part) = wrapper.borrow().part(py)? else {
        return Ok(false);
    };
    let mut response = response.borrow_mut();
    response.start(py, Some(part.length))?;
    if !response.takes_file() {
        // `write` was called before.
        return Ok(false);
    }
    response.send_file(part)?;
    Ok(true)
}

fn bytes_of<'a>(piece: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    latin1::bytes(piece).ok_or_else(|| {
        let kind = piece.get_type();
        PyTypeError::new_err(format!("a body must be made of bytes, not of {kind}"))
    })
}

/// Calls the body's `close()`, as PEP 3333 demands however the request ended.
pub fn close(body: &Bound<'_, PyAny>) -> PyResult<()> {
    if body.is_exact_instance_of::<PyList>() || body.is_exact_instance_of::<PyTuple>() {
        return Ok(());
    }
    if let Some(close) = body.getattr_opt("close")? {
        close.call0()?;
    }
    Ok(())
}
