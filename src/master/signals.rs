//! Signals as events.

use crate::pool::Order;
use crate::sys::dispositions;
use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// An order to the arbiter.
    Order(Order),
    /// Log files are opened anew.
    ReopenLogs,
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
            Signal::SIGUSR1 => Self::ReopenLogs,
            Signal::SIGWINCH => Self::Order(Order::RetireAll),
            Signal::SIGUSR2 => Self::Order(Order::Upgrade),
            _ => return None,
        })
    }

    /// The same, sent with this `si_code` (sigaction(2)).
    fn of_sent(signal: Signal, code: i32) -> Option<Self> {
        let meaning = Self::of(signal)?;
        // The size of a terminal has changed.
        let by_terminal = signal == Signal::SIGWINCH && code == libc::SI_KERNEL;
        Some(if by_terminal { Self::Nothing } else { meaning })
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

    /// All that have come; at the end the error, if they cannot be read.
    ///
    /// Those that wait together come in the order of their numbers, not in the one in which
    /// they were sent (signal(7)). The order to retire all workers is the first here: one to
    /// start workers again, which was sent behind it, has the smaller number.
    pub fn all(&mut self) -> Vec<nix::Result<(&'static str, Meaning)>> {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Ok(Some(signal)) => all.push(Ok(signal)),
                Ok(None) => break,
                Err(error) => {
                    all.push(Err(error));
                    break;
                }
            }
        }
        let retires_all = |(_, meaning): &_| *meaning == Meaning::Order(Order::RetireAll);
        all.sort_by_key(|signal| !signal.as_ref().is_ok_and(retires_all));
        all
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
                signal.and_then(|signal| Some((signal, Meaning::of_sent(signal, info.ssi_code)?)))
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
    fn a_terminal_that_changes_its_size_is_no_order() {
        let winch = |code| Meaning::of_sent(Signal::SIGWINCH, code);

        assert_eq!(winch(libc::SI_KERNEL), Some(Meaning::Nothing));
        let order = Some(Meaning::Order(Order::RetireAll));
        assert_eq!(winch(libc::SI_USER), order);
        assert_eq!(winch(libc::SI_QUEUE), order);
        assert_eq!(
            Meaning::of_sent(Signal::SIGHUP, libc::SI_KERNEL),
            Some(Meaning::Order(Order::Reload))
        );
    }

    #[test]
    fn the_order_to_retire_all_workers_is_the_first_of_those_that_wait_together() {
        let mut signals = Signals::take_over().unwrap();
        // To this thread, as others have not blocked them.
        for signal in [Signal::SIGUSR1, Signal::SIGWINCH, Signal::SIGTTIN] {
            nix::sys::signal::raise(signal).unwrap();
        }

        let names: Vec<_> = signals.all().into_iter().map(|it| it.unwrap().0).collect();

        assert_eq!(names, ["SIGWINCH", "SIGUSR1", "SIGTTIN"]);
    }

    #[test]
    fn a_crash_stays_a_crash() {
        for signal in [Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGBUS] {
            assert_eq!(Meaning::of(signal), None);
        }
    }
}
