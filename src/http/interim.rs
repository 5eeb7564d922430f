//! Interim responses: what a client hears before the answer.

use crate::fault::Fault;
use crate::head::Version;
use crate::response::{Own, check_field};

/// What a client that sent `Expect: 100-continue` waits for.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Appends a `103 Early Hints` (RFC 8297). Nothing is written for an HTTP/1.0 client,
/// which would take it for the answer (RFC 9110, section 15.2), nor after a fault.
pub fn write_early_hints<'a>(
    out: &mut Vec<u8>,
    version: Version,
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(), Fault> {
    match version {
        Version::Http10 => return Ok(()),
        Version::Http11 => {}
    }
    let start = out.len();
    out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
    for (name, value) in fields {
        match check_field(name, value) {
            Ok(Own::Application) => {
                out.extend_from_slice(name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
            Ok(Own::Connection | Own::Length | Own::Server) => {}
            Err(fault) => {
                out.truncate(start);
                return Err(fault);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_written_before_the_answer() {
        let mut out = Vec::new();
        let link: (&[u8], &[u8]) = (b"Link", b"</a.css>; rel=preload");

        write_early_hints(&mut out, Version::Http11, [link]).unwrap();
        write_early_hints(&mut out, Version::Http10, [link]).unwrap();

        assert_eq!(
            out,
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
        );
    }

    #[test]
    fn faulty_hints_leave_nothing_behind() {
        let mut out = b"before".to_vec();

        let fault = write_early_hints(&mut out, Version::Http11, [(&b"a"[..], &b"b\r\nc: d"[..])]);

        assert_eq!(fault, Err(Fault::BadValue("a".into())));
        assert_eq!(out, b"before");
    }
}
