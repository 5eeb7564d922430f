//! What Gunicorn's users send after USR2, often from a script: WINCH and then QUIT, to the
//! pid that the master had before, which there is the old of two masters. Here it is the
//! pid of the only one, and to obey would end the site.
//!
//! So after a USR2 one of each is taken for the rest of the upgrade, however that ended, and
//! nothing is done. TERM and INT always stop the service; systemd sends TERM.

use nix::sys::signal::Signal;

/// Which signals are still expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AfterUsr2 {
    winch: bool,
    quit: bool,
}

impl AfterUsr2 {
    /// SIGUSR2 came.
    pub fn begin(&mut self) {
        (self.winch, self.quit) = (true, true);
    }

    /// Whether this signal is a part of it, and not an order.
    pub fn takes(&mut self, signal: &str) -> bool {
        if signal == Signal::SIGWINCH.as_str() {
            std::mem::take(&mut self.winch)
        } else if signal == Signal::SIGQUIT.as_str() {
            std::mem::take(&mut self.quit)
        } else {
            false
        }
    }

    /// For the program that takes over.
    pub fn expected(self) -> (bool, bool) {
        (self.winch, self.quit)
    }

    pub fn from_expected((winch, quit): (bool, bool)) -> Self {
        Self { winch, quit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_winch_and_one_quit_after_usr2_are_no_orders() {
        let mut expected = AfterUsr2::default();
        assert!(!expected.takes("SIGWINCH") && !expected.takes("SIGQUIT"));

        expected.begin();
        let mut expected = AfterUsr2::from_expected(expected.expected());

        assert!(!expected.takes("SIGTERM") && !expected.takes("SIGINT"));
        assert!(expected.takes("SIGWINCH"));
        assert!(!expected.takes("SIGWINCH"));
        assert!(expected.takes("SIGQUIT"));
        assert!(!expected.takes("SIGQUIT"));
    }

    /// The kernel delivers what was sent at the same time by number.
    #[test]
    fn they_may_come_in_any_order() {
        let mut expected = AfterUsr2::default();
        expected.begin();

        assert!(expected.takes("SIGQUIT") && expected.takes("SIGWINCH"));

        assert_eq!(expected, AfterUsr2::default());
    }
}
