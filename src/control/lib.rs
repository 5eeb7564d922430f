//! What the master and the clients of its control socket share, and the clients with each
//! other: the messages, and what is made of the answers. No connection is opened here.
//!
//! | file              | subject                                                   |
//! |-------------------|-----------------------------------------------------------|
//! | `protocol.rs`     | requests, answers, and how they are written               |
//! | `rows.rs`         | what the answers list                                     |
//! | `groups.rs`       | the control groups of workers, and their names            |
//! | `instances.rs`    | which servers there are on this machine                   |
//! | `metrics.rs`      | the state of servers in the text format of Prometheus     |
//! | `memory.rs`       | how much memory a process uses                            |
//! | `proc_fields.rs`  | sizes in files of the kernel about a process              |
//! | `queue_length.rs` | how many connections wait at a listening socket           |
//! | `site.rs`         | what is known of a server after it was asked              |
//! | `terminals.rs`    | servers that no unit runs, and their control sockets      |
//! | `text.rs`         | text of applications, as people can be shown it           |

pub mod groups;
pub mod instances;
pub mod memory;
pub mod metrics;
pub mod proc_fields;
pub mod protocol;
pub mod queue_length;
mod rows;
pub mod site;
pub mod terminals;
pub mod text;
