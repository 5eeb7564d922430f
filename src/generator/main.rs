//! `rgunicorn-generator`: run by systemd at boot and at each `daemon-reload`, before
//! it reads its units. Writes what `/etc/rgunicorn/NAME.toml` says about the units
//! of NAME as drop-ins for them. What they say is decided in `rgunicorn::units`.
//!
//! A generator may not stop the boot: whatever it finds, it ends with success, and
//! what is wrong with one file concerns no other.

mod report;

use report::Report;
use rgunicorn::units::{Manager, Site, common_drop_ins};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::{env, fs};

const USAGE: &str = "\
Usage: rgunicorn-generator DIRECTORY [DIRECTORY DIRECTORY [FOLDER]]

Writes drop-ins for the units of each /etc/rgunicorn/NAME.toml below the first
DIRECTORY, and for systemd 254 and later those that all sites have: the pauses between
restarts grow, and the master starts in a control group of its own. systemd runs it, at
boot and at each `systemctl daemon-reload`.
FOLDER takes the place of /etc/rgunicorn; mistakes are then printed.

See rgunicorn.toml(5), systemd.generator(7).
";

/// More files are not for people to manage, and would hold up the boot.
const MOST_FILES: usize = 10_000;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [one] if one == "--help" || one == "-h" => {
            let _ = write!(io::stdout(), "{USAGE}");
            ExitCode::SUCCESS
        }
        [target] | [target, _, _] => {
            if let Some(sites) = usual_folder() {
                generate(&sites, Path::new(target), &mut Report::to_log());
            }
            ExitCode::SUCCESS
        }
        [target, _, _, sites] => {
            let mut report = Report::to_stderr();
            generate(Path::new(sites), Path::new(target), &mut report);
            ExitCode::SUCCESS
        }
        _ => {
            const BAD_USAGE: u8 = 64;
            let _ = write!(io::stderr(), "{USAGE}");
            ExitCode::from(BAD_USAGE)
        }
    }
}

fn usual_folder() -> Option<PathBuf> {
    match manager() {
        Manager::System => Some("/etc/rgunicorn".into()),
        Manager::User => {
            let set = |name| env::var_os(name).map(PathBuf::from);
            let configuration = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
            let configuration = configuration.or_else(|| Some(set("HOME")?.join(".config")));
            Some(configuration?.join("rgunicorn"))
        }
    }
}

/// systemd says so from version 251 on.
fn manager() -> Manager {
    match env::var_os("SYSTEMD_SCOPE") {
        Some(scope) if scope == "user" => Manager::User,
        Some(_) | None => Manager::System,
    }
}

fn generate(sites: &Path, target: &Path, report: &mut Report) {
    let files = match files_of(sites) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return report.error(None, &format!("{}: {error}", sites.display())),
    };
    let owner = rustix::process::geteuid().as_raw();
    let mut systemctl = None;
    for file in files {
        match Site::read(&file, manager(), owner) {
            None => {}
            Some(Err(problem)) => report.error(None, &problem),
            Some(Ok(site)) => {
                // It answers while the other files are read.
                systemctl = systemctl.or_else(begin_systemctl);
                if let Some(problem) = one_line(&site.problems) {
                    report.error(Some(&site.instance), &problem);
                }
                for error in write_site(&site, target) {
                    report.error(Some(&site.instance), &cannot_write(target, &error));
                }
            }
        }
    }
    match systemctl.map(Child::wait_with_output) {
        None => {}
        Some(Ok(output)) => {
            let version = String::from_utf8_lossy(&output.stdout);
            for error in write_common(&version, target) {
                report.error(None, &cannot_write(target, &error));
            }
        }
        Some(Err(error)) => report.error(
            None,
            &format!(
                "cannot read what `systemctl --version` prints: {error}; the drop-ins for \
                 systemd 254 and later are not made"
            ),
        ),
    }
}

fn cannot_write(target: &Path, error: &io::Error) -> String {
    format!("cannot write below {}: {error}", target.display())
}

/// Asks which version systemd has: it does not tell its generators. This neither
/// needs the manager nor waits for it. Nothing if there is no such program.
fn begin_systemctl() -> Option<Child> {
    let mut systemctl = Command::new("systemctl");
    systemctl.arg("--version").stdin(Stdio::null());
    let systemctl = systemctl.stdout(Stdio::piped()).stderr(Stdio::null());
    systemctl.spawn().ok()
}

/// For the services of all sites; nothing if systemd is too old for it. What could not be
/// written: the others are.
fn write_common(version: &str, target: &Path) -> Vec<io::Error> {
    let drop_ins = common_drop_ins(version, manager()).iter();
    let written =
        drop_ins.map(|drop_in| write(target, "rgunicorn@.service", drop_in.name, drop_in.text));
    written.filter_map(Result::err).collect()
}

/// In an order that does not depend on the file system.
fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.take(MOST_FILES);
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    Ok(files)
}

/// Few lines reach the log of the kernel in a short time, so a file has one.
fn one_line(problems: &[String]) -> Option<String> {
    match problems {
        [] => None,
        [one] => Some(one.clone()),
        [first, rest @ ..] => Some(format!(
            "{first} (and {} more; rgunicorn --check-config lists all)",
            rest.len()
        )),
    }
}

/// What could not be written: the other is.
fn write_site(site: &Site, target: &Path) -> Vec<io::Error> {
    let units = [
        (site.instance.service(), &site.drop_ins.service),
        (site.instance.socket(), &site.drop_ins.socket),
    ];
    let units = units.iter().filter(|(_, text)| !text.is_empty());
    let written = units.map(|(unit, text)| write(target, unit, "10-rgunicorn.conf", text));
    written.filter_map(Result::err).collect()
}

/// An administrator's own drop-ins come after these, in the order of names, and have
/// the last word.
fn write(target: &Path, unit: &str, name: &str, text: &str) -> io::Result<()> {
    let folder = target.join(format!("{unit}.d"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_drop_in_that_cannot_be_written_does_not_cost_the_others() {
        let target = tempfile::tempdir().unwrap();
        let folder = target.path().join("rgunicorn@.service.d");
        let drop_ins = common_drop_ins("systemd 254", Manager::System);
        let [first, second] = drop_ins else {
            panic!("{drop_ins:?}");
        };
        // Not a file that could be written.
        fs::create_dir_all(folder.join(first.name)).unwrap();

        assert_eq!(write_common("systemd 254", target.path()).len(), 1);

        let written = fs::read_to_string(folder.join(second.name)).unwrap();
        assert_eq!(written, second.text);
    }

    #[test]
    fn a_service_that_cannot_be_written_does_not_cost_its_socket() {
        let sites = tempfile::tempdir().unwrap();
        let target = tempfile::tempdir().unwrap();
        let file = sites.path().join("shop.toml");
        fs::write(&file, "bind = \"127.0.0.1:8000\"\ncpu_quota = \"50%\"\n").unwrap();
        for (path, mode) in [(&*file, 0o644), (sites.path(), 0o755)] {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        fs::write(target.path().join("rgunicorn@shop.service.d"), "").unwrap();

        let mut report = Report::to_stderr();
        generate(sites.path(), target.path(), &mut report);

        let socket = target
            .path()
            .join("rgunicorn@shop.socket.d/10-rgunicorn.conf");
        assert!(
            fs::read_to_string(socket)
                .unwrap()
                .contains("ListenStream=")
        );
    }
}
