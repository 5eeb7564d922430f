//! What a record of an application is, by its lines, and which line may follow.
//!
//! ```text
//!             Traceback          unindented line
//! (any) ────────────────▶ Frames ───────────────▶ Ended ──▶ (written)
//!   │                       ▲                     │  ▲
//!   │ Exception in thread   │ Traceback           │  │ unindented line
//!   ├─▶ Announced ──────────┤     "During the     ▼  │
//!   │                       └──── handling …" ── Chained
//!   │ + Exception Group                           ▲  │
//!   ├─▶ Group ────────────────────────────────────┘  │
//!   │     ▲──────────────────────────────────────────┘
//!   └─▶ Dump
//! ```

/// What a record is. It decides which lines may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A line, and those under it that begin with white space.
    Plain,
    /// A line after which Python prints a traceback.
    Announced,
    /// A traceback, before the line that names the exception.
    Frames,
    /// A traceback that may be over.
    Ended,
    /// Between two tracebacks that belong together.
    Chained,
    /// The tree of an exception group.
    Group,
    /// The stacks of threads.
    Dump,
    /// The same after a fatal error.
    FatalDump,
}

/// What a line looks like by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Blank,
    Traceback,
    GroupTraceback,
    /// Part of the tree of an exception group.
    Branch,
    Chain,
    Announcement,
    /// `  File "shop.py", line 3`: a frame, or a syntax error without more.
    File,
    /// Begins with white space.
    Indented,
    /// `Stack (most recent call last):`, which `logging` puts under a message.
    StackInfo,
    Fatal,
    /// `Thread 0x… (most recent call first):`
    Thread,
    /// What else a dump has without white space in front.
    DumpDetail,
    Other,
}

impl Shape {
    /// The shape of a record that begins with such a line.
    pub(super) fn first(line: Line) -> Self {
        match line {
            Line::Traceback | Line::File => Self::Frames,
            Line::GroupTraceback => Self::Group,
            Line::Announcement => Self::Announced,
            Line::Fatal => Self::FatalDump,
            Line::Thread => Self::Dump,
            Line::Blank
            | Line::Branch
            | Line::Chain
            | Line::Indented
            | Line::StackInfo
            | Line::DumpDetail
            | Line::Other => Self::Plain,
        }
    }

    /// The shape of a record after `line`, or nothing if the line is no part of
    /// it. `blanks` empty lines are between; `text` is the record so far.
    pub(super) fn after(self, line: Line, blanks: usize, text: &str) -> Option<Self> {
        let indented = matches!(line, Line::File | Line::Indented | Line::Branch);
        match self {
            Self::Plain => match line {
                Line::Traceback if is_log_line(text) => Some(Self::Frames),
                Line::GroupTraceback if is_log_line(text) => Some(Self::Group),
                Line::StackInfo => Some(Self::Plain),
                _ if indented => Some(Self::Plain),
                _ => None,
            },
            Self::Announced => match line {
                Line::Traceback => Some(Self::Frames),
                Line::GroupTraceback => Some(Self::Group),
                _ if indented => Some(Self::Announced),
                _ => None,
            },
            Self::Frames => match line {
                Line::Traceback | Line::GroupTraceback | Line::Announcement => None,
                _ if indented => Some(Self::Frames),
                _ => Some(Self::Ended),
            },
            Self::Ended => match line {
                Line::Chain if blanks > 0 => Some(Self::Chained),
                _ if indented && blanks == 0 => Some(Self::Ended),
                _ => None,
            },
            Self::Chained => match line {
                Line::Traceback => Some(Self::Frames),
                Line::GroupTraceback => Some(Self::Group),
                _ if indented => Some(Self::Frames),
                _ => Some(Self::Ended),
            },
            Self::Group => match line {
                Line::Branch => Some(Self::Group),
                Line::Chain if blanks > 0 => Some(Self::Chained),
                _ => None,
            },
            Self::Dump | Self::FatalDump => match line {
                Line::Thread | Line::StackInfo | Line::DumpDetail => Some(self),
                Line::Fatal => Some(Self::FatalDump),
                _ if indented => Some(self),
                _ => None,
            },
        }
    }
}

impl Line {
    pub(super) fn of(line: &str) -> Self {
        let bare = line.trim_start();
        if bare.is_empty() {
            return Self::Blank;
        }
        if bare.len() < line.len() {
            return if bare.starts_with("+ Exception Group Traceback (most recent call last):") {
                Self::GroupTraceback
            } else if bare.starts_with(['|', '+']) {
                Self::Branch
            } else if bare.starts_with("File \"") {
                Self::File
            } else {
                Self::Indented
            };
        }
        let begins = |starts: &[&str]| starts.iter().any(|start| line.starts_with(start));
        if begins(&["Traceback (most recent call last):"]) {
            Self::Traceback
        } else if begins(&[
            "During handling of the above exception, another exception occurred:",
            "The above exception was the direct cause of the following exception:",
        ]) {
            Self::Chain
        } else if begins(&["Exception in thread ", "Exception ignored "]) {
            Self::Announcement
        } else if begins(&["Fatal Python error: "]) {
            Self::Fatal
        } else if begins(&["Stack (most recent call last):"]) {
            Self::StackInfo
        } else if line.ends_with("(most recent call first):")
            || (begins(&["Timeout ("]) && line.ends_with(")!"))
        {
            Self::Thread
        } else if begins(&[
            "Python runtime state: ",
            "Extension modules: ",
            "<Cannot show all threads ",
        ]) {
            Self::DumpDetail
        } else {
            Self::Other
        }
    }
}

/// Whether a line under which a traceback came in the same piece is the
/// message it was logged with, and not something printed before.
fn is_log_line(text: &str) -> bool {
    const WORDS: [&str; 5] = ["error", "critical", "exception", "fatal", "warning"];
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}
