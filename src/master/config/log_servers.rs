//! What of the settings syslog and StatsD are about.

use super::settings::Config;
use super::values::RecordText;
use rgunicorn_link::{Statsd, Syslog};

impl Config {
    /// Where the server's own log goes, too.
    pub fn syslog(&self) -> Option<Syslog> {
        let prefix = self.syslog_prefix.as_ref();
        self.syslog.then(|| Syslog {
            address: self.syslog_addr.remote().clone(),
            facility: self.syslog_facility.number(),
            prefix: match prefix.map(RecordText::as_str) {
                // A colon would end the name of the program.
                None | Some("") => self.process_name().replace(':', "."),
                Some(prefix) => prefix.to_owned(),
            },
        })
    }

    /// Where the access log goes, too.
    pub fn access_syslog(&self) -> Option<Syslog> {
        self.syslog()
            .filter(|_| !self.disable_redirect_access_to_syslog)
    }

    pub fn statsd(&self) -> Option<Statsd> {
        let (prefix, tags) = (self.statsd_prefix.as_str(), self.dogstatsd_tags.as_str());
        let address = self.statsd_host.remote()?.clone();
        Some(Statsd::new(address, prefix, tags))
    }
}
