//! USR2 and `rgunicornctl upgrade`: the program that lies where this one did takes over in
//! this very process, so with the same pid, the same children and the same sockets.
//!
//! ```text
//! this program                              the new one
//! arbiter: Action::Upgrade
//!   state, as it is now ── memfd ─────────▶ PROGRAM --check-upgrade (a child): can it be read,
//!                       ◀── exit status ──   is the configuration valid, are its files there?
//!   hook pre_exec
//!   the log is written, nothing is under way
//!   state, as it is now ── memfd ── exec ─▶ adopts it, and reloads: the workers of this
//!                                           program are replaced by its own
//! ```
//!
//! Until the exec everything can fail without a consequence, and after it nothing is done
//! that the child has not done before.
//!
//! | file       | subject                                                             |
//! | ---------- | ------------------------------------------------------------------- |
//! | `state.rs` | what is handed over, and the version of it                          |
//! | `check.rs` | `--check-upgrade`: the new program finds out whether it could adopt |
//! | `trial.rs` | that child, from this program's side                                |
//! | `program.rs` | which file is executed, and with what                             |
//! | `after_usr2.rs` | what Gunicorn's users send after USR2                          |

pub mod after_usr2;
pub mod check;
pub mod program;
pub mod state;
pub mod trial;

pub use after_usr2::AfterUsr2;
pub use check::to_check;
pub use program::Program;
pub use state::State;
pub use trial::Trial;
