//! WSGI (PEP 3333): a request becomes a call of the application (`handler`), what
//! that returns becomes a response (`body`). The other files hold what the
//! application is given: the environ, `wsgi.input`, `wsgi.file_wrapper` and
//! `start_response`.

mod body;
mod body_length;
mod client_socket;
mod early_hints;
mod environ;
mod file_wrapper;
mod handler;
mod input;
mod latin1;
mod logged_variables;
mod start_response;

pub use file_wrapper::{FileWrapper, read_files};
pub use handler::{Answered, Wsgi};

use input::Input;
