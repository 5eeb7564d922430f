//! Signals as events.

use crate::pool::Order;
use crate::sys::dispositions;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// An order to the arbiter.
    Order(Order),
    /// A child has ended.
    ChildEnded,
    /// Nothing, but its default action would end the master.
    Nothing,
}

impl Meaning {
    /// The whole table of signals, in one place.
    fn of(signal: Signal) -> Option<Self> {
        Some(match signal {
            Signal::SIGHUP => Self::Order(Order::Reload),
            Signal::SIGTERM => Self::Order(Order::Stop),
            Signal::SIGINT | Signal::SIGQUIT => Self::Order(Order::StopNow),
            Signal::SIGTTIN => Self::Order(Order::OneWorkerMore),
            Signal::SIGTTOU => Self::Order(Order::OneWorkerFewer),
            Signal::SIGCHLD => Self::ChildEnded,
            // Gunicorn's users send these to masters.
            Signal::SIGUSR1 | Signal::SIGUSR2 | Signal::SIGWINCH => Self::Nothing,
            _ => return None,
        })
    }
}

/// The signals of this process, to be read.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// From now on signals wait to be read. What is blocked is made from the
    /// table, so the two cannot drift apart.
    ///
    /// Children inherit the blocked signals, also through exec. So whatever is sent
    /// to a new fork server waits until it has its handlers, and then unblocks them.
    pub fn take_over() -> nix::Result<Self> {
        dispositions::stop_ignoring_children()?;
        let handled: SigSet = Signal::iterator()
            .filter(|signal| Meaning::of(*signal).is_some())
            .collect();
        handled.thread_block()?;
        SignalFd::with_flags(&handled, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map(Self)
    }

    /// The next signal that came, with its name.
    pub fn next(&mut self) -> nix::Result<Option<(&'static str, Meaning)>> {
        loop {
            let Some(info) = self.0.read_signal()? else {
                return Ok(None);
            };
            let signal = i32::try_from(info.ssi_signo)
                .ok()
                .and_then(|number| Signal::try_from(number).ok());
            if let Some((signal, meaning)) =
                signal.and_then(|signal| Some((signal, Meaning::of(signal)?)))
            {
                return Ok(Some((signal.as_str(), meaning)));
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graceful_stop_is_term_as_systemd_sends_it() {
        assert_eq!(
            Meaning::of(Signal::SIGTERM),
            Some(Meaning::Order(Order::Stop))
        );
        assert_eq!(
            Meaning::of(Signal::SIGQUIT),
            Some(Meaning::Order(Order::StopNow))
        );
    }

    #[test]
    fn a_crash_stays_a_crash() {
        for signal in [Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGBUS] {
            assert_eq!(Meaning::of(signal), None);
        }
    }
}
