//! The files and sockets that settings name, opened at the start: with the rights of whoever
//! has named them.

use super::error::{StartError, system, with_causes};
use super::log_files;
use crate::account;
use crate::config::{AccessLog, Binds, Config, ConfigError, Origin, Umask, log_file_refusal};
use crate::control::Server;
use crate::listeners::{self, Activated, ListenerError, Opening, Sockets};
use crate::log::ErrorFile;
use crate::pid_file::PidFile;
use rgunicorn_control::terminals;
use rgunicorn_link::protocol::AccountIds;
use rustix::io::Errno;
use std::fmt::Display;
use std::path::Path;
use tracing::debug;

/// Opens what only root may be able to, before root is given up.
pub struct OpeningFiles<'a> {
    pub config: &'a Config,
    /// The account that the configuration in Python was run in, if that is not this process's.
    pub program_ran_as: Option<&'a AccountIds>,
    /// The account that the files are to belong to, if that is not this process's.
    pub owner: Option<&'a AccountIds>,
}

impl OpeningFiles<'_> {
    /// The account whose rights count for the file of this setting: one that has named it in
    /// its configuration must not have root open it.
    fn account_for(&self, key: &str) -> Option<&AccountIds> {
        let is_of_program = matches!(self.config.origin(key), Origin::Program { .. });
        self.program_ran_as.filter(|_| is_of_program)
    }

    /// Opens the file of this setting.
    pub fn of<T>(
        &self,
        key: &str,
        open: impl FnOnce() -> Result<T, StartError>,
    ) -> Result<T, StartError> {
        match self.account_for(key) {
            Some(account) => account::with_rights_to_files_of(account, open)
                .map_err(system("open files as another account"))?,
            None => open(),
        }
    }

    pub fn prepare_logs(&self, account: &AccountIds) {
        let access = self.config.accesslog.as_ref().and_then(AccessLog::file);
        let files = [
            ("accesslog", access.as_deref()),
            ("errorlog", self.config.errorlog.file()),
        ];
        for (key, path) in files {
            let path = path.filter(|_| self.account_for(key).is_none());
            let prepared = path.map(|path| (path, log_files::prepare(path, account)));
            if let Some((path, Err(error))) = prepared {
                debug!("{} is not prepared: {error}", path.display());
            }
        }
    }

    pub fn sockets(&self, capacity: usize) -> Result<(Sockets, Option<Server>), StartError> {
        let config = self.config;
        let activated = Activated::from_env()?;
        let configured = config.bind.as_ref().map_or(&[][..], Binds::addresses);
        let how = Opening {
            backlog: u16::try_from(config.backlog.get()).unwrap_or(u16::MAX),
            umask: config.umask.map_or(0, Umask::bits),
            reuse_port: config.reuse_port,
            owner: self.owner.map(|owner| (owner.user, owner.group)),
        };
        let mut sockets = self.of("bind", || {
            listeners::open(activated, configured, &Binds::loopback(), how, capacity)
                .map_err(|error| refused_bind(config.origin("bind"), error))
        })?;
        let control = match (sockets.control.take(), &config.control_socket) {
            (Some(fd), _) => Some(Server::inherited(fd).map_err(system("use the control socket"))?),
            (None, Some(path)) => {
                let origin = config.origin("control_socket");
                let opened = self.of("control_socket", || {
                    match origin {
                        Origin::Environment("RUNTIME_DIRECTORY") => {
                            Server::bind_in_runtime_directory(path.as_path(), how.owner)
                        }
                        _ => Server::bind(path.as_path(), how.owner),
                    }
                    .map_err(|error| refused_control(origin, path.as_path(), &error))
                });
                Some(opened?)
            }
            (None, None) => terminal_control(how.owner),
        };
        Ok((sockets, control))
    }
}

/// The control socket of a server that nobody has told of one. It serves all the same without.
fn terminal_control(owner: Option<(u32, u32)>) -> Option<Server> {
    let folder = terminals::folder(std::env::var_os("XDG_RUNTIME_DIR"))?;
    match Server::bind_in_terminal(&folder, owner) {
        Ok(server) => Some(server),
        Err(error) => {
            debug!(
                "There is no control socket in {}: {error}",
                folder.display()
            );
            None
        }
    }
}

fn refused_bind(origin: &Origin, error: ListenerError) -> StartError {
    match (origin, error) {
        (Origin::Default, error) => StartError::Listeners(error),
        (origin, error @ ListenerError::Twice(_)) => {
            let error = ConfigError::Unusable {
                key: "bind",
                origin: origin.clone(),
                problem: error.to_string(),
            };
            StartError::Config(error.into())
        }
        (origin, error) => StartError::Bind(origin.describe("bind", &with_causes(&error))),
    }
}

fn refused_control(origin: &Origin, path: &Path, error: &dyn Display) -> StartError {
    let problem = format!(
        "cannot open the control socket {}: {error}; another path can be set with control_socket",
        path.display()
    );
    StartError::Control(origin.describe("control_socket", &problem))
}

pub fn open_error_log(config: &Config) -> Result<Option<ErrorFile>, StartError> {
    let Some(path) = config.errorlog.file() else {
        return Ok(None);
    };
    let opened = ErrorFile::open(path, config.captures_output());
    opened.map(Some).map_err(|error| {
        let cause = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let problem = log_file_refusal(path, cause);
        StartError::ErrorLog(config.origin("errorlog").describe("errorlog", &problem))
    })
}

pub fn write_pid_file(config: &Config) -> Result<Option<PidFile>, StartError> {
    let Some(path) = &config.pidfile else {
        return Ok(None);
    };
    let written = PidFile::write(path.as_path());
    written.map(Some).map_err(|error| {
        let place = config.origin("pidfile");
        StartError::PidFile(place.describe("pidfile", &error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listeners::BindAddress;

    fn address() -> BindAddress {
        "127.0.0.1:1".parse().unwrap()
    }

    #[test]
    fn an_address_that_cannot_be_bound_is_not_an_error_of_the_configuration() {
        let refused = |origin| refused_bind(&origin, ListenerError::NotLocal(address()));

        let from_flag = refused(Origin::CommandLine("--bind"));
        assert_eq!(from_flag.exit_code(), 71);
        assert!(from_flag.to_string().starts_with("--bind: 127.0.0.1:1 is"));
        assert_eq!(refused(Origin::Default).exit_code(), 71);
    }

    #[test]
    fn an_address_that_is_listed_twice_is_an_error_of_the_configuration() {
        let refused = |origin| refused_bind(&origin, ListenerError::Twice(address()));

        assert_eq!(refused(Origin::CommandLine("--bind")).exit_code(), 64);
        assert_eq!(refused(Origin::Environment("BIND")).exit_code(), 78);
    }
}
