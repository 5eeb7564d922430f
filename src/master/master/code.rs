//! `reload`: when files of the application have changed, there is a new generation.

use super::Master;
use crate::code_watch::CodeWatch;
use crate::config::Config;
use crate::pool::{Event, Order, Requester};
use crate::wakeups::Source;
use std::path::PathBuf;
use std::time::Instant;
use tracing::{error, info};

impl Master {
    /// Watches directories of the application. Its workers tell of them only with `reload`.
    pub(super) fn watch_code(&mut self, directories: impl IntoIterator<Item = PathBuf>) {
        if self.code_watch.is_none() {
            let begun = CodeWatch::new().and_then(|watch| {
                self.wakeups.add(&watch, Source::CodeWatch)?;
                Ok(watch)
            });
            match begun {
                Ok(mut watch) => {
                    watch.set_extra(self.current.config.reload_extra_files.patterns());
                    self.code_watch = Some(watch);
                }
                Err(error) => return error!("Changed files are not noticed: {error}"),
            }
        }
        if let Some(watch) = &mut self.code_watch {
            directories.into_iter().for_each(|path| watch.watch(path));
        }
    }

    /// A reload was successful.
    pub(super) fn watch_as_configured(&mut self, config: &Config) {
        if !config.reload {
            self.code_watch = None;
        } else if let Some(watch) = &mut self.code_watch {
            watch.set_extra(config.reload_extra_files.patterns());
        }
    }

    pub(super) fn reload_changed_code(&mut self, now: Instant) {
        let changed = self
            .code_watch
            .as_mut()
            .and_then(|watch| watch.run_due(now));
        if let Some(file) = changed {
            info!("{} has changed", file.display());
            self.dispatch(Event::Ordered(Order::Reload, Requester::FileChange));
        }
    }
}
