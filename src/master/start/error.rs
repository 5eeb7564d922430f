//! Why there is no master.

use crate::config::ConfigErrors;
use crate::listeners::ListenerError;
use crate::log::events;
use crate::process::NoWorkerFolder;
use crate::upgrade::state::Refused;
use rgunicorn_link::protocol::LoadFailure;
use std::io;

/// Why there is no master. Each is one thing that an operator can act on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),

    #[error(transparent)]
    Listeners(#[from] ListenerError),

    /// With the place of the address in front.
    #[error("{0}")]
    Bind(String),

    #[error(transparent)]
    Worker(#[from] NoWorkerFolder),

    /// With the place of the path in front.
    #[error("{0}")]
    Control(String),

    /// With the place of the path in front.
    #[error("{0}")]
    PidFile(String),

    /// With the place of the path in front.
    #[error("{0}")]
    ErrorLog(String),

    #[error("cannot {what}: {source}")]
    System {
        what: &'static str,
        source: io::Error,
    },

    /// What the program before in this process hands over is not understood.
    #[error(transparent)]
    Upgrade(Refused),

    /// `--check-config`: the application cannot be loaded.
    #[error("the application cannot be loaded: {}", events::in_full(.0))]
    Application(LoadFailure),

    /// Python ended without reporting anything.
    #[error("the fork server died: {0}")]
    Interpreter(String),

    /// A signal asked to give up.
    #[error("interrupted")]
    Interrupted,
}

impl StartError {
    /// Gunicorn's 3 and 4 for an application that cannot be loaded, else the
    /// numbers of sysexits.h.
    pub fn exit_code(&self) -> u8 {
        const BOOT_FAILED: u8 = 3;
        const OS_ERROR: u8 = 71;
        const INTERRUPTED: u8 = 130;
        const CONFIG: u8 = 78;
        match self {
            Self::Config(error) => error.exit_code(),
            Self::Worker(_) | Self::Upgrade(_) => CONFIG,
            Self::Listeners(_)
            | Self::Bind(_)
            | Self::Control(_)
            | Self::PidFile(_)
            | Self::ErrorLog(_)
            | Self::System { .. } => OS_ERROR,
            Self::Application(failure) => failure.status,
            Self::Interpreter(_) => BOOT_FAILED,
            Self::Interrupted => INTERRUPTED,
        }
    }

    /// Logs each of its `texts`.
    pub fn log(&self, texts: &[String]) {
        match self {
            Self::Config(_) => texts
                .iter()
                .for_each(|text| events::configuration_refused(text)),
            Self::Listeners(_)
            | Self::Bind(_)
            | Self::Worker(_)
            | Self::Control(_)
            | Self::PidFile(_)
            | Self::ErrorLog(_)
            | Self::System { .. }
            | Self::Upgrade(_)
            | Self::Application(_)
            | Self::Interpreter(_)
            | Self::Interrupted => texts.iter().for_each(|text| events::start_failed(text)),
        }
    }

    /// What an operator reads: a text for each mistake in the configuration, and
    /// one for anything else.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Config(errors) => errors.lines(),
            // Whoever has sent the signal knows.
            Self::Interrupted => Vec::new(),
            error => vec![with_causes(error)],
        }
    }
}

/// The error and all its causes.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

pub fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}
