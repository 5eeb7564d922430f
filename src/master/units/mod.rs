//! What the configuration of a site says about its units, as drop-ins for
//! `rgunicorn@NAME.service` and `rgunicorn@NAME.socket`. Text in, text out: the
//! program that writes them is `rgunicorn-generator`.

mod drop_ins;
mod escape;
mod instance;
mod listen;
mod restarts;
mod site;
mod trust;

pub use drop_ins::{DropIns, MARK, digest};
pub use instance::{BadInstance, Instance};
pub use restarts::growing_pauses;
pub(crate) use site::preview;
pub use site::{Manager, Site};
