//! Every reason to distrust a response of the application.

/// Why a response head is not sent. The application is at fault, the client gets a
/// 500, and the log this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not three digits and a reason.
    #[error("status \"{0}\" is not three digits and a reason")]
    BadStatus(String),
    /// 1xx is no final response.
    #[error("status \"{0}\" is not a final one")]
    InterimStatus(String),
    /// Not a token.
    #[error("header name \"{0}\" is not a token")]
    BadName(String),
    /// With a control character: the application would let a client write headers.
    #[error("header {0} has a control character in its value")]
    BadValue(String),
    /// Not a number.
    #[error("Content-Length \"{0}\" is not a number")]
    BadLength(String),
    /// Even when both are equal.
    #[error("Content-Length is given twice")]
    RepeatedLength,
}

/// `bytes` as they may stand in a message: one line, not too long.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    let cut = &bytes[..bytes.len().min(MOST)];
    let dots = if cut.len() < bytes.len() { "..." } else { "" };
    format!("{}{dots}", cut.escape_ascii())
}
