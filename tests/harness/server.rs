//! A server under test, before it starts: what it serves, on which sockets,
//! with which settings.

use super::{
    client::Address,
    files::Folder,
    program::RGUNICORN,
    running::{Running, Setup},
    sockets::{ListenPid, Listening, Passed, free_port},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
};

/// A server that is about to be started.
pub struct Server {
    setup: Setup,
    output: Option<Stdio>,
}

impl Server {
    /// A server for an application of `tests/apps`, on a socket that is passed
    /// to it.
    pub fn running(app: &str) -> Self {
        let mut server = Self {
            setup: Setup {
                folder: Folder::with_apps(),
                program: RGUNICORN.into(),
                config: toml::Table::new(),
                arguments: Vec::new(),
                environment: Vec::new(),
                listening: Listening::Passed(vec![Passed::tcp("http")]),
                listen_pid: ListenPid::Server,
                file_size_limit_kib: None,
                ignored_signal: None,
            },
            output: None,
        };
        server.setup.config.insert("app".into(), app.into());
        server
    }

    /// A server as it is started in a terminal: no configuration file, and the
    /// application as an argument.
    pub fn typed(app: &str) -> Self {
        let mut server = Self::running(app);
        server.setup.config.clear();
        server.argument(app)
    }

    #[must_use]
    pub fn workers(self, count: u16) -> Self {
        self.setting("workers", i64::from(count))
    }

    /// A line of the configuration file.
    #[must_use]
    pub fn setting(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.setup.config.insert(key.into(), value.into());
        self
    }

    /// Another file in the server's folder.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Self {
        self.setup.folder.write(name, text);
        self
    }

    /// The server that was installed elsewhere.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.setup.program = path.into();
        self
    }

    /// A variable of the server's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.setup.environment.push((name.into(), value.into()));
        self
    }

    /// A word of the command line.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.setup.arguments.push(argument.into());
        self
    }

    /// The server binds a free TCP port itself.
    #[must_use]
    pub fn binding_a_port(mut self) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        self.setup.listening = Listening::Bound(Address::Tcp(address));
        if self.setup.config.is_empty() {
            return self.argument("--bind").argument(&address.to_string());
        }
        self.setting("bind", toml::Value::Array(vec![address.to_string().into()]))
    }

    /// The server was told elsewhere to bind this address.
    #[must_use]
    pub fn bound_to(mut self, address: SocketAddr) -> Self {
        self.setup.listening = Listening::Bound(Address::Tcp(address));
        self
    }

    /// The server was told elsewhere to bind this unix socket.
    #[must_use]
    pub fn bound_to_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.setup.listening = Listening::Bound(Address::Unix(path.into()));
        self
    }

    /// The sockets are passed, and no variable announces them.
    #[must_use]
    pub fn without_listen_variables(mut self) -> Self {
        self.setup.listen_pid = ListenPid::Unset;
        self
    }

    /// The variables of socket activation are meant for another process.
    #[must_use]
    pub fn with_sockets_of_somebody_else(mut self) -> Self {
        self.setup.listen_pid = ListenPid::OtherProcess;
        self
    }

    /// No process of the server may write a file beyond this size.
    #[must_use]
    pub fn file_size_limit_kib(mut self, limit: u32) -> Self {
        self.setup.file_size_limit_kib = Some(limit);
        self
    }

    /// The server is started with this signal ignored, as some supervisors do.
    #[must_use]
    pub fn ignoring(mut self, signal: &'static str) -> Self {
        self.setup.ignored_signal = Some(signal);
        self
    }

    /// The server binds a unix socket in its folder itself.
    #[must_use]
    pub fn binding_a_unix_socket(mut self) -> Self {
        let path = self.setup.folder.join("bound.sock");
        let value = format!("unix:{}", path.display());
        self.setup.listening = Listening::Bound(Address::Unix(path));
        self.setting("bind", toml::Value::Array(vec![value.into()]))
    }

    /// A unix socket is passed instead of a TCP one.
    #[must_use]
    pub fn on_a_unix_socket(mut self) -> Self {
        let path = self.setup.folder.join("passed.sock");
        self.setup.listening = Listening::Passed(vec![Passed::unix("http", &path)]);
        self
    }

    /// A unix socket is passed besides the TCP one.
    #[must_use]
    pub fn and_a_unix_socket(mut self, name: &str) -> Self {
        let path = self.setup.folder.join("passed.sock");
        if let Listening::Passed(sockets) = &mut self.setup.listening {
            sockets.push(Passed::unix(name, &path));
        }
        self
    }

    /// Standard output and error go elsewhere than to the file that
    /// [`Running::stderr`] reads.
    #[must_use]
    pub fn output(mut self, output: impl Into<Stdio>) -> Self {
        self.output = Some(output.into());
        self
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> String {
        self.setup.folder.join(name).to_str().unwrap().to_owned()
    }

    /// Starts it and returns when it says that it is ready.
    #[track_caller]
    pub fn start(self) -> Running {
        let server = self.launch();
        server.wait_until_ready();
        server
    }

    /// Starts it and returns at once.
    #[track_caller]
    pub fn launch(self) -> Running {
        Running::launch(self.setup, self.output)
    }
}
