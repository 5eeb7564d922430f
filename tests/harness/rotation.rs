//! A log file that is renamed, and opened anew, again and again while requests are answered.

use super::{Connection, Running};
use nix::sys::signal::Signal;
use std::fs;
use std::thread;

const CLIENTS: usize = 4;

/// What is there when the server has ended.
pub struct Rotated {
    /// All files together.
    pub text: String,
    /// The paths of the requests, sorted.
    pub paths: Vec<String>,
    /// How often it was renamed.
    pub count: usize,
}

/// Rotates `file` while each of some clients sends as many `requests`, which are all to be
/// answered, and stops the server.
pub fn rotate_under_load(server: &Running, file: &str, requests: usize) -> Rotated {
    let address = server.address();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let address = address.clone();
            thread::spawn(move || {
                let mut connection = Connection::open(&address).unwrap();
                for number in 0..requests {
                    let response = connection.get(&format!("/{client}/{number}"));
                    assert_eq!(response.status, 200);
                }
            })
        })
        .collect();
    let mut count = 0;
    while clients.iter().any(|client| !client.is_finished()) || count < 3 {
        let old = server.folder().join(format!("{file}.{count}"));
        server.wait_until("there is a file", || {
            fs::rename(server.folder().join(file), &old).is_ok()
        });
        server.signal(Signal::SIGUSR1);
        count += 1;
    }
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(server.stop(), 0);
    let files = (0..count).map(|number| format!("{file}.{number}"));
    let files = files.chain([file.to_owned()]);
    let mut paths: Vec<_> = (0..CLIENTS)
        .flat_map(|client| (0..requests).map(move |number| format!("/{client}/{number}")))
        .collect();
    paths.sort_unstable();
    Rotated {
        text: files.map(|name| server.read(&name)).collect(),
        paths,
        count,
    }
}
