//! `reload`: the directories of the modules that the application has imported are watched,
//! and what `reload_extra_files` names. When something has changed there and nothing changes
//! any more, there is to be a new generation.
//!
//! Directories, not files: editors replace a file rather than write to it, and a module that
//! could not be imported is known by nothing but its directory.

use glob::{MatchOptions, Pattern};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// Editors write several files, and some more than once.
const QUIET: Duration = Duration::from_millis(200);

/// After this long there is a reload although something changes all the time.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How often a directory is looked for that has been removed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The most directories that are watched.
const MOST: usize = 16 * 1024;

/// What of a module's directory is code.
const CODE: [&str; 3] = ["py", "so", "pyw"];

/// The files of the application, and what has become of them.
#[derive(Debug)]
pub struct CodeWatch {
    inotify: Inotify,
    directories: HashMap<WatchDescriptor, PathBuf>,
    /// All that are watched, or should be.
    wanted: BTreeSet<PathBuf>,
    /// Those that are not there: they may come back.
    missing: BTreeSet<PathBuf>,
    look_again: Option<Instant>,
    extra: Vec<Pattern>,
    change: Option<Change>,
    /// That the kernel watches no more was logged.
    is_refusal_logged: bool,
}

/// Something has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    /// The first file.
    file: PathBuf,
    since: Instant,
    last: Instant,
}

impl Change {
    fn due(&self) -> Instant {
        (self.last + QUIET).min(self.since + LONGEST_WAIT)
    }
}

impl CodeWatch {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?,
            directories: HashMap::new(),
            wanted: BTreeSet::new(),
            missing: BTreeSet::new(),
            look_again: None,
            extra: Vec::new(),
            change: None,
            is_refusal_logged: false,
        })
    }

    /// Watches for the files that these patterns name, now or later. A directory stands for
    /// all that is in it.
    pub fn set_extra(&mut self, patterns: &[Pattern]) {
        self.extra.clear();
        for pattern in patterns {
            let found = glob::glob(pattern.as_str()).into_iter().flatten();
            let found: Vec<PathBuf> = found.flatten().collect();
            for path in &found {
                if path.is_dir() {
                    let all = Pattern::escape(&path.to_string_lossy()) + "/*";
                    self.extra.extend(Pattern::new(&all));
                    self.watch(path.clone());
                }
            }
            let written = Path::new(pattern.as_str());
            let places = found.iter().map(PathBuf::as_path).chain([written]);
            let places: BTreeSet<_> = places.filter_map(Path::parent).collect();
            for place in places {
                self.watch(place.to_owned());
            }
            self.extra.push(pattern.clone());
        }
    }

    /// Watches a directory, if it is not watched yet.
    pub fn watch(&mut self, directory: PathBuf) {
        if self.wanted.len() >= MOST || !self.wanted.insert(directory.clone()) {
            return;
        }
        self.begin_to_watch(directory);
    }

    fn begin_to_watch(&mut self, directory: PathBuf) {
        let of_interest = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        match self.inotify.add_watch(&directory, of_interest) {
            Ok(watch) => {
                self.missing.remove(&directory);
                self.directories.insert(watch, directory);
            }
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {
                self.missing.insert(directory);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_refusal_logged, true) {
                    warn!(
                        "Not all files are watched for changes: {}: {error}; see \
                         /proc/sys/fs/inotify",
                        directory.display()
                    );
                }
            }
        }
    }

    /// Takes note of what has changed.
    pub fn read(&mut self, now: Instant) {
        loop {
            match self.inotify.read_events() {
                Ok(events) => events.iter().for_each(|event| self.note(event, now)),
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                Err(error) => {
                    warn!("Changed files are not noticed: {error}");
                    return;
                }
            }
        }
    }

    fn note(&mut self, event: &InotifyEvent, now: Instant) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            return self.changed(PathBuf::from("more than can be told"), now);
        }
        let Some(directory) = self.directories.get(&event.wd).cloned() else {
            return;
        };
        let is_gone = AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_MOVE_SELF;
        if event.mask.intersects(is_gone) {
            self.directories.remove(&event.wd);
            if event.mask.contains(AddWatchFlags::IN_MOVE_SELF) {
                // If it is gone by now, so is the watch.
                let _ = self.inotify.rm_watch(event.wd);
            }
            self.missing.insert(directory);
            self.look_again.get_or_insert(now + LOOK_AGAIN);
            return;
        }
        if let Some(name) = &event.name {
            let file = directory.join(name);
            if is_code(name) || self.is_extra(&file) {
                self.changed(file, now);
            }
        }
    }

    fn is_extra(&self, file: &Path) -> bool {
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::new()
        };
        let mut patterns = self.extra.iter();
        patterns.any(|pattern| pattern.matches_path_with(file, options))
    }

    fn changed(&mut self, file: PathBuf, now: Instant) {
        debug!("{} has changed", file.display());
        match &mut self.change {
            Some(change) => change.last = now,
            None => {
                self.change = Some(Change {
                    file,
                    since: now,
                    last: now,
                });
            }
        }
    }

    /// When [`Self::run_due`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        let change = self.change.as_ref().map(Change::due);
        change.into_iter().chain(self.look_again).min()
    }

    /// The first file of a change that is over, once.
    pub fn run_due(&mut self, now: Instant) -> Option<PathBuf> {
        if self.look_again.is_some_and(|due| due <= now) {
            self.look_again = None;
            for directory in std::mem::take(&mut self.missing) {
                self.begin_to_watch(directory.clone());
                if !self.missing.contains(&directory) {
                    self.changed(directory, now);
                }
            }
            if !self.missing.is_empty() {
                self.look_again = Some(now + LOOK_AGAIN);
            }
        }
        let change = self.change.take_if(|change| change.due() <= now);
        change.map(|change| change.file)
    }
}

impl AsFd for CodeWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

fn is_code(name: &OsStr) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| CODE.contains(&extension))
}

/// The directories of the files that a traceback of Python names: of a module with a mistake
/// nobody else knows.
pub fn directories_in(traceback: &str) -> impl Iterator<Item = PathBuf> {
    let files = traceback.lines().filter_map(|line| {
        let file = line.trim_start().strip_prefix("File \"")?;
        file.split_once('"').map(|(file, _)| Path::new(file))
    });
    let folders = files
        .filter(|file| file.is_absolute())
        .filter_map(Path::parent);
    folders.map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn watching(folder: &Path) -> CodeWatch {
        let mut watch = CodeWatch::new().unwrap();
        watch.watch(folder.to_owned());
        watch
    }

    #[test]
    fn a_change_counts_when_nothing_more_changes_or_it_goes_on_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watching(folder.path());
        let begun = Instant::now();

        watch.changed("a.py".into(), begun);
        watch.changed("b.py".into(), begun + QUIET / 2);
        assert_eq!(watch.run_due(begun + QUIET), None);
        let over = begun + QUIET / 2 + QUIET;
        assert_eq!(watch.due(), Some(over));
        assert_eq!(watch.run_due(over), Some("a.py".into()));
        assert_eq!((watch.run_due(over), watch.due()), (None, None));

        let mut now = over;
        watch.changed("c.py".into(), now);
        while watch.run_due(now).is_none() {
            now += QUIET / 2;
            watch.changed("d.py".into(), now);
        }
        assert_eq!(now, over + LONGEST_WAIT);
    }

    #[test]
    fn code_counts_and_other_files_only_if_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watching(folder.path());
        let now = Instant::now();
        let is_noticed = |name: &str, watch: &mut CodeWatch| {
            fs::write(folder.path().join(name), "x").unwrap();
            watch.read(now);
            watch.run_due(now + QUIET).is_some()
        };

        assert!(is_noticed("a.py", &mut watch));
        assert!(!is_noticed("a.py.swp", &mut watch) && !is_noticed("x.html", &mut watch));
        let pattern = folder.path().join("*.html");
        watch.set_extra(&[Pattern::new(pattern.to_str().unwrap()).unwrap()]);
        assert!(is_noticed("x.html", &mut watch) && is_noticed("new.html", &mut watch));
        assert!(!is_noticed("x.txt", &mut watch));
        fs::create_dir(folder.path().join("texts")).unwrap();
        let texts = folder.path().join("texts");
        watch.set_extra(&[Pattern::new(texts.to_str().unwrap()).unwrap()]);
        assert!(is_noticed("texts/any", &mut watch));
    }

    #[test]
    fn a_file_that_is_replaced_or_removed_counts_and_a_directory_that_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (code, other) = (folder.path().join("code"), folder.path().join("other"));
        fs::create_dir(&code).unwrap();
        let mut watch = watching(&code);
        let now = Instant::now();

        fs::write(&other, "x").unwrap();
        fs::rename(&other, code.join("a.py")).unwrap();
        watch.read(now);
        assert_eq!(watch.run_due(now + QUIET), Some(code.join("a.py")));
        fs::remove_file(code.join("a.py")).unwrap();
        watch.read(now);
        assert_eq!(watch.run_due(now + QUIET), Some(code.join("a.py")));

        fs::rename(&code, &other).unwrap();
        watch.read(now);
        assert_eq!(watch.run_due(now + LOOK_AGAIN), None);
        fs::rename(&other, &code).unwrap();
        let later = now + 2 * LOOK_AGAIN;
        assert_eq!(watch.run_due(later), None);
        assert_eq!(watch.run_due(later + QUIET), Some(code.clone()));
        fs::write(code.join("b.py"), "").unwrap();
        watch.read(later);
        assert_eq!(watch.run_due(later + QUIET), Some(code.join("b.py")));
    }

    #[test]
    fn a_traceback_names_the_directory_of_the_mistake() {
        let traceback = "Traceback (most recent call last):\n  \
             File \"/srv/shop/app.py\", line 1, in <module>\n    import parts.new\n  \
             File \"/srv/shop/parts/new.py\", line 3\n    def :\n        ^\n  \
             File \"<string>\", line 1\nSyntaxError: invalid syntax\n";

        let found: Vec<_> = directories_in(traceback).collect();

        assert_eq!(
            found,
            [Path::new("/srv/shop"), Path::new("/srv/shop/parts")]
        );
    }
}
