//! The terminal: its size, and while `top` uses it its alternate screen, without echo and
//! line editing.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, IsTerminal, Stdout, Write};

/// The terminal, which is as it was before once this is dropped.
pub struct Terminal {
    before: Termios,
    output: Stdout,
}

impl Terminal {
    /// `None`: the program has none.
    pub fn take_over() -> Option<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw).ok()?;
        let terminal = Self {
            before,
            output: io::stdout(),
        };
        // The alternate screen, without a cursor.
        terminal.write("\x1b[?1049h\x1b[?25l");
        Some(terminal)
    }

    /// Columns and lines, as is usual if they are not known.
    #[expect(clippy::unused_self, reason = "it is a property of the terminal")]
    pub fn size(&self) -> (usize, usize) {
        size().unwrap_or((80, 24))
    }

    /// Shows these lines and nothing else. None may be longer than the terminal is wide, and
    /// there may be no more than fit.
    pub fn show(&self, lines: &[String]) {
        // Each is written over the one before it, so that nothing flickers.
        let text = lines.join("\x1b[K\r\n");
        self.write(&format!("\x1b[H{text}\x1b[K\x1b[J"));
    }

    /// If the terminal is gone, the next read says so.
    fn write(&self, text: &str) {
        let mut output = self.output.lock();
        let _ = output.write_all(text.as_bytes());
        let _ = output.flush();
    }
}

/// The columns and lines of the terminal that the output goes to, if it goes to one.
pub fn size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    let known = size.ws_col > 0 && size.ws_row > 0;
    known.then(|| (size.ws_col.into(), size.ws_row.into()))
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.write("\x1b[?25h\x1b[?1049l");
        // If it is gone, there is nothing to restore.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}
