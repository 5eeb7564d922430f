//! `rgunicorn-metrics`: serves the state of all servers of this machine over HTTP, for
//! Prometheus and for people. systemd opens its sockets and starts it at a connection; it
//! exits when nobody has asked for a while.
//!
//! | file          | subject                                             |
//! |---------------|-----------------------------------------------------|
//! | `cli.rs`      | the command line                                    |
//! | `sockets.rs`  | the sockets that systemd opened                     |
//! | `server.rs`   | clients: for how long, and when none is left        |
//! | `places.rs`   | how many, and which of them makes room for the next |
//! | `answers.rs`  | what is answered to which request                   |
//! | `sites.rs`    | all servers, asked at the same time                 |
//! | `rows.rs`     | what the page shows of each                         |
//! | `history.rs`  | what was seen of the last minutes                   |
//! | `page.rs`     | the page, its data, its style and its script        |
//! | `asking.rs`   | one question to one server                          |

mod answers;
mod asking;
mod cli;
mod history;
mod page;
mod places;
mod rows;
mod server;
mod sites;
mod sockets;

use cli::Stop;
use std::io::{self, Write};
use std::process::ExitCode;

const PROGRAM: &str = "rgunicorn-metrics";

fn main() -> ExitCode {
    let options = match cli::parse_from(std::env::args_os()) {
        Ok(options) => options,
        Err(Stop::Help(text)) => {
            let _ = write!(io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(Stop::UsageError(mistake)) => return refuse(64, &mistake),
    };
    let sockets = match sockets::from_systemd() {
        Ok(sockets) => sockets,
        Err(problem) => return refuse(71, &problem),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.map(|runtime| runtime.block_on(server::run(sockets, options))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) | Err(error) => refuse(71, &format!("cannot serve: {error}")),
    }
}

fn refuse(status: u8, reason: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{PROGRAM}: {reason}");
    ExitCode::from(status)
}
