//! A configuration in Python: what a fork server is told of it, and what it answers.

use super::PythonLog;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// A configuration in Python, which the fork server is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluate {
    pub program: Program,
    /// The names that may be settings. Others are the program's own business.
    pub names: Vec<String>,
    /// As far as it is known before.
    pub python_log: PythonLog,
}

impl Evaluate {
    pub fn is_script(&self) -> bool {
        matches!(self.program, Program::Script(_))
    }
}

/// Where a configuration in Python is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    File(PathBuf),
    /// One that can be imported, such as `shop.server`.
    Module(String),
    /// One that starts the server itself, see [`Script`].
    Script(Script),
}

/// A script with an application of its own (`BaseApplication` in Python), and its arguments. It
/// runs up to the call of `run()`, from where the fork server goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    pub main: Main,
    /// `sys.argv` without its first item.
    pub arguments: Vec<String>,
}

/// What Python runs as `__main__`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Main {
    File(PathBuf),
    /// As `python -m` would.
    Module(String),
}

impl fmt::Display for Program {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(to),
            Self::Module(name) => name.fmt(to),
            Self::Script(script) => script.main.fmt(to),
        }
    }
}

impl fmt::Display for Main {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(to),
            Self::Module(name) => name.fmt(to),
        }
    }
}

/// What a configuration in Python has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The file that it stands in.
    pub file: PathBuf,
    pub settings: Vec<Assigned>,
    /// Names that are none of the settings, and that nothing in the file uses.
    pub unused: Vec<Unused>,
}

/// A setting in a configuration in Python.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    pub name: String,
    pub value: AssignedValue,
    /// Where in the file, counted from 1; `None` if that is not known.
    pub line: Option<usize>,
}

/// The value of a name in Python.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AssignedValue {
    /// What JSON has: a text, a number, true or false, a list, a table, or `null` for `None`.
    Plain(serde_json::Value),
    /// A class, as `module.name`.
    Class(String),
    /// A function or another object that can be called.
    Callable,
    /// A hook that cannot be called as it has to be: what is wrong with it.
    Uncallable(String),
    /// Anything else, as Python shows it.
    Other(String),
}

/// A name that is assigned in a configuration in Python, and never used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unused {
    pub name: String,
    pub line: usize,
}
