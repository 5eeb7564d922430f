//! A command that runs in another account than this process.

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use rgunicorn_link::protocol::AccountIds;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Lets the command run as `account`, with its groups and no others. Only root can.
pub fn run_as(command: &mut Command, account: &AccountIds) {
    let others: Vec<_> = account.others.iter().copied().map(Gid::from_raw).collect();
    let (group, user) = (Gid::from_raw(account.group), Uid::from_raw(account.user));
    // SAFETY: between fork and exec, the closure makes three system calls and nothing else:
    // it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            setgroups(&others)?;
            setgid(group)?;
            setuid(user)?;
            Ok(())
        });
    }
}
