//! What the configuration of a site says about its units, as drop-ins for
//! `rgunicorn@NAME.service` and `rgunicorn@NAME.socket`. Text in, text out: the
//! program that writes them is `rgunicorn-generator`.

mod drop_ins;
mod escape;
mod instance;
mod listen;
mod newer_systemd;
mod site;
mod trust;
mod withheld;

pub use drop_ins::{DropIns, MARK, digest};
pub use instance::{BadInstance, Instance};
pub use newer_systemd::{CommonDropIn, common_drop_ins};
pub(crate) use site::preview;
pub use site::{Manager, Site};
pub use withheld::{WITHHELD, why_withheld};
