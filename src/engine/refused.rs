//! Why a request was not answered by the application.

use rgunicorn_http::{Refusal, Status};
use std::io;

/// Why the engine answered a request itself, and ended the connection.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is not a request as HTTP wants it, or exceeds a limit.
    #[error(transparent)]
    Malformed(#[from] Refusal),
    /// The client took too long, in the middle of a request.
    #[error("the client took longer than client_timeout for its request")]
    TooSlow,
    /// The body could not be kept until it is whole.
    #[error("the body could not be stored: {0}")]
    NoRoom(#[source] io::Error),
}

impl Refused {
    /// What the client is told.
    pub fn status(&self) -> Status {
        match self {
            Self::Malformed(refusal) => refusal.status(),
            Self::TooSlow => Status::REQUEST_TIMEOUT,
            Self::NoRoom(_) => Status::SERVICE_UNAVAILABLE,
        }
    }
}
