//! Bodies that do not have the length that their Content-Length says, and what the log
//! says of them.

use rgunicorn_engine::Request;
use rgunicorn_link::protocol::Level;
use rgunicorn_serving::{NamedRequest, Reporter};

/// A body that is not what its Content-Length says.
#[derive(Debug, Clone, Copy)]
pub struct BodyLength {
    pub announced: u64,
    /// What the application gave, as far as it was asked.
    pub given: u64,
}

impl BodyLength {
    pub fn is_short(self) -> bool {
        self.given < self.announced
    }
}

/// Logs bodies that are longer or shorter than their Content-Length. An
/// application may make the mistake in each response, so the number of lines is
/// limited.
#[derive(Default)]
pub struct WrongLengths {
    /// When the current window began, by the engine's clock.
    window_start_ms: u64,
    /// In the current window.
    logged: u32,
    suppressed: u64,
}

impl WrongLengths {
    const WINDOW_MS: u64 = 10_000;
    const LINES_PER_WINDOW: u32 = 10;

    /// If the window is over, begins the next and logs how many lines were left out.
    pub fn end_window(&mut self, now_ms: u64, reporter: &Reporter) {
        if now_ms >= self.window_start_ms + Self::WINDOW_MS {
            self.log_suppressed(reporter);
            *self = Self {
                window_start_ms: now_ms,
                ..Self::default()
            };
        }
    }

    /// Logs how many lines were left out so far.
    pub fn log_suppressed(&mut self, reporter: &Reporter) {
        let suppressed = std::mem::take(&mut self.suppressed);
        if suppressed > 0 {
            let text = format!("{suppressed} more responses had a wrong Content-Length");
            reporter.log(Level::Warning, text);
        }
    }

    /// Logs one of them, unless there were enough.
    pub fn log(&mut self, request: &Request, length: BodyLength, now_ms: u64, reporter: &Reporter) {
        self.end_window(now_ms, reporter);
        if self.logged == Self::LINES_PER_WINDOW {
            self.suppressed += 1;
            return;
        }
        self.logged += 1;
        let BodyLength { announced, given } = length;
        let what = if length.is_short() {
            format!(
                "has {given} bytes, but its Content-Length is {announced}: the client sees it cut off"
            )
        } else {
            format!(
                "has {given} bytes or more, but its Content-Length is {announced}: the rest is not sent"
            )
        };
        let request = NamedRequest::from(request);
        let text = format!("The response to {} {what}", request.line());
        reporter.log_request(Level::Warning, text, request.info());
    }
}
