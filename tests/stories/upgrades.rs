//! USR2 and `rgunicornctl upgrade`: another program takes over in the process of the master.
//!
//! A copy of the program takes the place of the one that runs. A really different version is
//! installed in `tests/systemd`.

use super::deaths::MACHINE;
use crate::harness::{
    Running, Server, processes,
    program::{RGUNICORN, copy_folder, copy_program},
};
use nix::sys::signal::Signal;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::{MutexGuard, PoisonError},
    thread,
};

const TAKEN_OVER: &str = "has taken over from";

fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server whose program lies in its folder.
pub(super) struct Site {
    pub(super) server: Running,
    program: PathBuf,
}

pub(super) fn site(server: Server) -> Site {
    let bin = PathBuf::from(server.path("bin"));
    fs::create_dir(&bin).unwrap();
    let program = bin.join("rgunicorn");
    copy_program(Path::new(RGUNICORN), &program);
    copy_folder(
        &Path::new(RGUNICORN).with_file_name("worker"),
        &bin.join("worker"),
    );
    let server = server.program(&program).workers(2).start();
    server.wait_for_workers(2);
    Site { server, program }
}

impl Site {
    /// Puts another program into the place of the one that runs.
    fn install(&self, text: &str) {
        let written = self.program.with_extension("written");
        let next = self.program.with_extension("next");
        fs::write(&written, text).unwrap();
        copy_program(&written, &next);
        fs::rename(next, &self.program).unwrap();
    }

    /// The same with a copy of the program.
    pub(super) fn install_copy(&self) {
        let next = self.program.with_extension("next");
        copy_program(Path::new(RGUNICORN), &next);
        fs::rename(next, &self.program).unwrap();
    }

    /// Whether the program that lies there is the one that runs.
    pub(super) fn runs_what_is_installed(&self) -> bool {
        let running = fs::read_link(format!("/proc/{}/exe", self.server.pid()));
        running.is_ok_and(|running| running == self.program)
    }

    #[track_caller]
    pub(super) fn upgrade(&self) {
        let outcome = self.server.ctl(&["upgrade"]);
        assert_eq!(outcome.status, 0, "{outcome:?}\n{}", self.server.stderr());
        let text = &outcome.stdout;
        assert!(text.contains("has taken over: generation"), "{text}");
    }
}

#[test]
fn five_upgrades_keep_the_pid_and_lose_no_request() {
    let _machine = machine();
    let site = site(Server::running("hello:app"));
    let server = &site.server;
    let (master, before) = (server.pid(), server.worker_pids());
    let traffic = server.under_load();

    for number in 1..=5 {
        site.install_copy();
        server.signal(Signal::SIGUSR2);
        server.wait_until("another program has taken over", || {
            server.log_count(TAKEN_OVER) == number && server.log_count("Reload finished") == number
        });
        traffic.wait_for_answers(50);
    }

    assert_eq!(traffic.finish(), [] as [&str; 0]);
    assert_eq!(server.pid(), master);
    assert!(server.wait_for_workers(2).is_disjoint(&before));
    let others = server.other_pids();
    server.wait_until("one fork server is left", || server.other_pids().len() == 1);
    let log = server.stderr();
    assert!(!log.contains("died"), "{others:?} {log}");
    // It goes on as if nothing had been.
    server.reload();
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.stop(), 0);
}

#[test]
fn systemd_sees_a_reload_and_whoever_asked_waits_for_its_end() {
    let site = site(Server::running("hello:app").env("WATCHDOG_USEC", "20000000"));
    let server = &site.server;
    let before = server.worker_pids();

    site.upgrade();

    server.wait_for_reload();
    assert!(server.wait_for_workers(2).is_disjoint(&before));
    // The program has not been told to keep its pid by anybody.
    assert_eq!(server.notified("MAINPID"), [] as [&str; 0]);
    let status = server.ctl(&["status"]).stdout;
    assert!(
        status.starts_with("generation 2: 2 workers ready"),
        "{status}"
    );
    let watched = server.notified("WATCHDOG").len();
    server.wait_until("the watchdog is reset by the new program", || {
        server.notified("WATCHDOG").len() > watched
    });
}

#[track_caller]
fn assert_refused(site: &Site, reason: &str) {
    let server = &site.server;
    let (workers, others) = (server.worker_pids(), server.other_pids());
    let traffic = server.under_load();

    let outcome = server.ctl(&["upgrade"]);

    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(outcome.stderr.contains(reason), "{outcome:?}");
    server.wait_for_log("Upgrade failed, rgunicorn");
    assert_eq!(traffic.finish(), [] as [&str; 0]);
    assert_eq!(
        (server.worker_pids(), server.other_pids()),
        (workers, others)
    );
    server.wait_for_reload();
    assert_eq!(server.log_count(TAKEN_OVER), 0);
}

#[test]
fn a_program_that_does_not_run_is_refused() {
    let site = site(Server::running("hello:app"));

    site.install("#!/no/such/interpreter\n");
    assert_refused(&site, "it cannot be run: No such file or directory");

    // And the next one is not.
    site.install_copy();
    site.upgrade();
}

#[test]
fn a_program_that_crashes_or_knows_nothing_of_upgrades_is_refused() {
    let site = site(Server::running("hello:app"));
    site.install("#!/bin/sh\nkill -SEGV $$\n");
    assert_refused(&site, "it does not run: killed by SIGSEGV");

    site.server.forget_notices();
    site.install("#!/bin/sh\necho rgunicorn 0.0.1\n");
    let outcome = site.server.ctl(&["upgrade"]);

    assert!(
        outcome
            .stderr
            .contains("it is not a program that can take over"),
        "{outcome:?}"
    );
}

/// As a release would say that has another state.
#[test]
fn a_program_that_does_not_understand_the_state_is_refused_with_its_reason() {
    let site = site(Server::running("hello:app"));
    let real = site.program.with_file_name("real");
    copy_program(Path::new(RGUNICORN), &real);
    let text = format!(
        "#!/usr/bin/env python3
import os, sys
number = int(sys.argv[2])
state = os.pread(number, 1 << 20, 0).replace(b'\"format\":1,', b'\"format\":0,', 1)
changed = os.memfd_create('state', 0)
os.write(changed, state)
os.dup2(changed, number)
os.execv({real:?}, sys.argv)
"
    );
    site.install(&text);

    assert_refused(
        &site,
        "hands over a state of format 0, and this one reads 1",
    );
}

#[test]
fn a_mistake_in_the_configuration_refuses_the_upgrade() {
    let site = site(Server::running("hello:app"));
    site.server.set("timeout", "soon");

    assert_refused(&site, "shop.toml:");
}

/// The new program would not know what waits in the old one.
#[test]
fn an_upgrade_while_nobody_reads_the_log_is_refused_and_costs_no_request() {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let page = vec![b'\n'; 4096];
    fcntl_setpipe_size(&writer, page.len()).unwrap();
    assert_eq!(rustix::io::write(&writer, &page), Ok(page.len()));
    let site = site(Server::running("hello:app").output(writer));
    let server = &site.server;
    let traffic = server.under_load();

    let refused = server.ctl(&["upgrade"]);

    assert_eq!(refused.status, 1, "{refused:?}");
    let why = "the log, or systemd, does not take what waits for it";
    assert!(refused.stderr.contains(why), "{refused:?}");
    traffic.wait_for_answers(20);
    let reading = thread::spawn(move || {
        let mut text = Vec::new();
        File::from(reader).read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    });
    site.install_copy();
    site.upgrade();
    assert_eq!(traffic.finish(), [] as [&str; 0]);
    assert_eq!(server.stop(), 0);
    drop(site);
    let log = reading.join().unwrap();
    assert!(log.contains(why) && log.contains(TAKEN_OVER), "{log}");
}

#[test]
fn code_that_cannot_be_loaded_leaves_the_old_workers_under_the_new_master() {
    let site = site(Server::running("shop:app").file("shop.py", "from hello import app\n"));
    let server = &site.server;
    let before = server.worker_pids();
    server.write("shop.py", "raise RuntimeError('sold out')\n");
    let traffic = server.under_load();

    let outcome = server.ctl(&["upgrade"]);

    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains("those from before serve on: "),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("sold out"), "{outcome:?}");
    // One that dies is replaced by the fork server that was adopted.
    server.write("shop.py", "from hello import app\n");
    let killed = *before.first().unwrap();
    assert_eq!(traffic.finish(), [] as [&str; 0]);
    processes::signal(killed, Signal::SIGKILL);
    server.wait_until("another is there", || {
        let workers = server.worker_pids();
        workers.len() == 2 && !workers.contains(&killed)
    });
    site.upgrade();
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_running_request_and_kept_connections_live_through_an_upgrade() {
    let site = site(Server::running("slow:app").setting("keepalive", 60));
    let server = &site.server;
    let mut running = server.begin_until("go");
    let mut kept = server.connect();
    assert_eq!(kept.get("/").status, 200);

    site.upgrade();
    server.write("go", "");

    assert_eq!(running.receive().status, 200);
    assert_eq!(kept.get("/").status, 200);
}

#[test]
fn a_client_that_asks_for_an_upgrade_and_leaves_harms_nobody() {
    let site = site(Server::running("hello:app"));
    let server = &site.server;
    for _ in 0..3 {
        let mut stream =
            std::os::unix::net::UnixStream::connect(server.folder().join("run/control")).unwrap();
        std::io::Write::write_all(&mut stream, b"{\"command\":\"upgrade\"}\n").unwrap();
    }

    server.wait_until("the upgrades are over", || {
        server.log_count(TAKEN_OVER) > 0
            && server.log_count(TAKEN_OVER) == server.log_count("Reload finished")
    });

    site.upgrade();
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn workers_and_fork_servers_that_die_around_it_are_replaced() {
    let _machine = machine();
    let site = site(Server::running("hello:app"));
    let server = &site.server;

    for number in 1..=6 {
        let workers = server.wait_for_workers(2);
        let fork_servers = server.other_pids();
        let victims: Vec<_> = match number % 3 {
            0 => workers.iter().take(1).copied().collect(),
            1 => fork_servers.iter().copied().collect(),
            _ => workers.union(&fork_servers).copied().collect(),
        };
        server.signal(Signal::SIGUSR2);
        if number > 3 {
            server.wait_until("the new program is tried", || {
                server.log_count("Upgrade began") >= number
            });
        }
        for victim in victims {
            processes::signal(victim, Signal::SIGKILL);
        }
        server.wait_until("it has taken over", || {
            server.log_count(TAKEN_OVER) == number && server.log_count("Reload finished") == number
        });
        server.wait_for_workers(2);
        server.wait_until("no process is left unreaped", || {
            processes::zombies(server.pid()).is_empty() && server.other_pids().len() == 1
        });
        assert_eq!(server.get("/").status, 200);
    }

    assert_eq!(server.stop(), 0);
}

/// Gunicorn's documents have these sent to the pid that the master had before.
#[test]
fn the_signals_that_end_an_upgrade_of_gunicorn_do_not_end_the_site() {
    let site = site(Server::running("hello:app").setting("pidfile", "shop.pid"));
    let server = &site.server;
    let old = server.read("shop.pid");
    let traffic = server.under_load();

    server.signal(Signal::SIGUSR2);
    server.wait_until("it has taken over", || {
        server.log_count("Reload finished") == 1
    });
    server.signal(Signal::SIGWINCH);
    server.signal(Signal::SIGQUIT);
    server.wait_for_log("Got SIGQUIT, which is ignored this time");
    server.wait_for_log("Got SIGWINCH, which is ignored this time");
    traffic.wait_for_answers(50);

    assert_eq!(traffic.finish(), [] as [&str; 0]);
    assert_eq!(server.read("shop.pid"), old);
    assert!(!server.folder().join("shop.pid.2").exists());
    assert!(!server.folder().join("shop.pid.oldbin").exists());
    // Whoever means it says it again.
    server.signal(Signal::SIGQUIT);
    assert_eq!(server.wait_for_exit(), 0);
    assert!(!server.folder().join("shop.pid").exists());
}

#[test]
fn an_upgrade_during_reloads_and_other_signals_loses_no_request() {
    let _machine = machine();
    let site = site(Server::running("hello:app"));
    let server = &site.server;
    let traffic = server.under_load();
    let mut random = fastrand::Rng::with_seed(2);
    let signals = [
        Signal::SIGUSR2,
        Signal::SIGHUP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGUSR1,
        Signal::SIGCHLD,
    ];

    for _ in 0..25 {
        for _ in 0..random.usize(1..8) {
            server.signal(*random.choice(&signals).unwrap());
        }
        traffic.wait_for_answers(10);
    }
    site.upgrade();
    server.wait_for_workers(2);
    traffic.wait_for_answers(50);

    assert_eq!(traffic.finish(), [] as [&str; 0]);
    let log = server.stderr();
    assert!(!log.contains("died") && !log.contains("failed"), "{log}");
    assert_eq!(server.stop(), 0);
}

const CONF: &str = "\
workers = 1 + 1
timeout = 77
def on_starting(server):
    server.log.info('hook on_starting')
def child_exit(server, worker):
    server.log.info('hook child_exit')
";

#[test]
fn a_configuration_in_python_is_known_to_the_new_program_before_it_has_run_it() {
    let site = site(
        Server::running("hello:app")
            .file("gunicorn.conf.py", CONF)
            .setting("config", "gunicorn.conf.py"),
    );
    let server = &site.server;
    server.write("gunicorn.conf.py", "raise RuntimeError('not now')\n");

    let outcome = server.ctl(&["upgrade"]);

    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("not now"), "{outcome:?}");
    let config = server.ctl(&["config"]).stdout;
    assert!(config.contains("timeout = 77"), "{config}");
    let killed = *server.worker_pids().first().unwrap();
    processes::signal(killed, Signal::SIGKILL);
    server.wait_for_log("hook child_exit");
    server.wait_for_workers(2);
}

#[test]
fn the_hook_pre_exec_is_called_before_and_may_refuse() {
    const HOOK: &str = "\
def pre_exec(server):
    server.log.info('hook pre_exec of %d', server.num_workers)
    if VETO:
        raise RuntimeError('not today')
";
    let conf = |veto| format!("VETO = {veto}\n{HOOK}");
    let site = site(
        Server::running("hello:app")
            .file("gunicorn.conf.py", &conf("True"))
            .setting("config", "gunicorn.conf.py"),
    );
    let server = &site.server;

    assert_refused(&site, "the hook pre_exec failed");
    server.wait_for_log("RuntimeError: not today");
    server.write("gunicorn.conf.py", &conf("False"));
    server.reload();
    let before = server.log_count("hook pre_exec of 2");
    site.upgrade();

    assert_eq!(server.log_count("hook pre_exec of 2"), before + 1);
    assert_eq!(server.stop(), 0);
}
