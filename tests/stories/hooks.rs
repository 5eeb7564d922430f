//! The hooks of a `gunicorn.conf.py`: when they are called, with what, and what becomes of
//! one that fails.

use crate::harness::{Program, Running, Server, processes};
use nix::sys::signal::Signal;

/// Each hook adds a line to the file `calls`: its name, the kind of process, and what it
/// was told.
const RECORDER: &str = r#"
import os

workers = 2
graceful_timeout = 5

def note(hook, *words):
    with open("calls", "a") as calls:
        calls.write(" ".join([hook, *map(str, words)]) + "\n")

def on_starting(server):
    note("on_starting", server.pid, server.num_workers, server.cfg.workers, server.cfg.graceful_timeout)
    server.log.info("on_starting says %s and %d", "hello", 5)

def when_ready(server):
    note("when_ready", server.address[0][0], server.proc_name)

def on_reload(server):
    note("on_reload", server.pid, server.num_workers)

def nworkers_changed(server, new_value, old_value):
    note("nworkers_changed", new_value, old_value, server.num_workers)

def pre_fork(server, worker):
    note("pre_fork", worker.age, worker.pid, os.getpid() != server.pid)

def post_fork(server, worker):
    note("post_fork", worker.age, worker.pid == os.getpid(), worker.ppid == server.pid)
    worker.log.info("Worker %(age)s is forked", {"age": worker.age})

def post_worker_init(worker):
    note("post_worker_init", worker.age, callable(worker.wsgi), worker.cfg.wsgi_app)

def worker_int(worker):
    note("worker_int", worker.age)

def worker_exit(server, worker):
    note("worker_exit", worker.age, worker.pid == os.getpid(), worker.alive)

def child_exit(server, worker):
    note("child_exit", worker.age, worker.pid, os.getpid() != worker.pid)

def on_exit(server):
    note("on_exit", server.pid)
"#;

/// A server with this configuration in Python.
fn with(conf: &str) -> Server {
    Server::running("hello:app")
        .setting("config", "gunicorn.conf.py")
        .file("gunicorn.conf.py", conf)
}

/// The calls of this hook, without its name.
fn calls(server: &Running, hook: &str) -> Vec<String> {
    let calls = server.read("calls");
    let of_hook = calls
        .lines()
        .filter_map(|line| line.strip_prefix(hook)?.strip_prefix(' '));
    of_hook.map(str::to_owned).collect()
}

/// The names of the hooks that were called, in order.
fn order(server: &Running) -> Vec<String> {
    let calls = server.read("calls");
    let names = calls.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[track_caller]
fn wait_for_calls(server: &Running, hook: &str, count: usize) -> Vec<String> {
    server.wait_until(&format!("{hook} is called"), || {
        calls(server, hook).len() >= count
    });
    calls(server, hook)
}

#[test]
fn hooks_are_called_at_a_start_in_gunicorns_order_with_what_it_gives_them() {
    let server = with(RECORDER).start();
    server.wait_for_workers(2);
    let pid = server.pid();

    wait_for_calls(&server, "post_worker_init", 2);

    assert_eq!(
        order(&server)[..4],
        ["nworkers_changed", "on_starting", "when_ready", "pre_fork"]
    );
    assert_eq!(calls(&server, "nworkers_changed"), ["2 None 2"]);
    assert_eq!(calls(&server, "on_starting"), [format!("{pid} 2 2 5")]);
    assert_eq!(calls(&server, "when_ready"), ["127.0.0.1 hello:app"]);
    assert_eq!(
        calls(&server, "pre_fork"),
        ["1 [booting] True", "2 [booting] True"]
    );
    for worker in ["1", "2"] {
        assert!(calls(&server, "post_fork").contains(&format!("{worker} True True")));
        let ready = format!("{worker} True hello:app");
        assert!(calls(&server, "post_worker_init").contains(&ready));
    }
    server.wait_for_log("on_starting says hello and 5");
    server.wait_for_log("Worker 2 is forked");
}

#[test]
fn a_hook_sees_no_statsd_where_the_file_names_none() {
    let conf = "import os\n\
        statsd_host = os.environ.get('STATSD', '')\n\
        def post_fork(server, worker):\n    \
            worker.log.info('statsd is %r', worker.cfg.statsd_host)\n";
    for (argument, seen) in [
        (None, "None"),
        (Some("--statsd-host=127.0.0.1:9"), "('127.0.0.1', 9)"),
    ] {
        let mut server = with(conf);
        if let Some(argument) = argument {
            server = server.argument(argument);
        }

        let server = server.start();

        server.wait_for_log(&format!("statsd is {seen}"));
    }
}

#[test]
fn hooks_are_called_when_workers_end_and_when_the_service_does() {
    let server = with(RECORDER).start();
    let workers = server.wait_for_workers(2);
    let pid = server.pid();

    let victim = *workers.first().unwrap();
    processes::signal(victim, Signal::SIGKILL);
    let gone = wait_for_calls(&server, "child_exit", 1);
    assert!(gone[0].ends_with(&format!(" {victim} True")), "{gone:?}");
    // It had no time for a word.
    assert!(calls(&server, "worker_exit").is_empty());
    let workers = server.wait_for_workers(2);

    processes::signal(*workers.first().unwrap(), Signal::SIGQUIT);
    assert_eq!(wait_for_calls(&server, "worker_int", 1).len(), 1);
    let exits = wait_for_calls(&server, "worker_exit", 1);
    assert!(exits[0].ends_with(" True False"), "{exits:?}");
    wait_for_calls(&server, "child_exit", 2);
    server.wait_for_workers(2);

    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_for_exit(), 0);

    assert_eq!(calls(&server, "worker_exit").len(), 3);
    assert_eq!(calls(&server, "child_exit").len(), 4);
    assert_eq!(calls(&server, "worker_int").len(), 1);
    assert_eq!(calls(&server, "on_exit"), [pid.to_string()]);
    assert_eq!(order(&server).last().unwrap(), "on_exit");
}

#[test]
fn a_reload_calls_the_hooks_of_the_new_file() {
    let server = with(RECORDER).start();
    server.wait_for_workers(2);
    let pid = server.pid();
    server.write(
        "gunicorn.conf.py",
        &RECORDER.replace("workers = 2", "workers = 3"),
    );

    assert_eq!(server.ctl(&["reload"]).status, 0, "{}", server.stderr());

    server.wait_for_workers(3);
    assert_eq!(calls(&server, "nworkers_changed"), ["2 None 2", "3 2 3"]);
    assert_eq!(calls(&server, "on_reload"), [format!("{pid} 3")]);
    // The hooks of the old file do not hear of it: as with Gunicorn, the new ones do.
    let exits = wait_for_calls(&server, "child_exit", 2);
    assert!(
        exits.iter().all(|exit| exit.ends_with(" True")),
        "{exits:?}"
    );
    // What it has made is gone with the old process.
    assert_eq!(calls(&server, "on_starting").len(), 2);
    assert_eq!(calls(&server, "on_exit").len(), 0);
}

#[test]
fn a_changed_count_is_told_with_what_it_was() {
    let server = with(RECORDER).start();
    server.wait_for_workers(2);

    server.signal(Signal::SIGTTIN);
    server.wait_for_workers(3);
    server.signal(Signal::SIGTTOU);
    server.wait_for_workers(2);

    let changes = wait_for_calls(&server, "nworkers_changed", 3);
    assert_eq!(changes, ["2 None 2", "3 2 3", "2 3 2"]);
}

#[test]
fn a_hook_that_fails_where_the_process_can_go_on_is_logged_with_its_name() {
    let conf = "\
import sys
workers = 1
def pre_fork(server, worker): raise ValueError('before')
def nworkers_changed(server, new, old): sys.exit(9)
def worker_exit(server, worker): undefined
def child_exit(server, worker): raise KeyError('after')
def on_exit(server): 1 / 0
";
    let server = with(conf).start();
    let worker = *server.wait_for_workers(1).first().unwrap();
    server.wait_for_log("The hook pre_fork of");
    server.wait_for_log("ValueError: before");
    server.wait_for_log("The hook nworkers_changed of");

    processes::signal(worker, Signal::SIGTERM);
    server.wait_for_log("The hook worker_exit of");
    server.wait_for_log("The hook child_exit of");
    server.wait_for_workers(1);
    assert_eq!(server.get("/").text(), "Hello, world!\n");

    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_for_exit(), 0);
    assert!(
        server.stderr().contains("The hook on_exit of"),
        "{}",
        server.stderr()
    );
    assert!(
        server.stderr().contains("ZeroDivisionError"),
        "{}",
        server.stderr()
    );
}

#[test]
fn a_hook_without_which_nothing_can_be_served_makes_the_start_fail() {
    for (hook, parameters) in [
        ("on_starting", "server"),
        ("when_ready", "server"),
        ("post_fork", "server, worker"),
        ("post_worker_init", "worker"),
    ] {
        let server = with(&format!(
            "def {hook}({parameters}): raise OSError('no such luck')\n"
        ))
        .launch();

        assert_eq!(server.wait_for_exit(), 3, "{hook}");

        let log = server.stderr();
        let says = format!("the hook {hook} failed: OSError: no such luck");
        assert!(log.contains(&says), "{log}");
        assert_eq!(log.matches("Traceback").count(), 1, "{log}");
    }
}

#[test]
fn a_reload_whose_hooks_fail_leaves_the_old_workers_serving() {
    let server = with("workers = 1\n").start();
    let before = server.wait_for_workers(1);
    for hook in [
        "on_reload(server)",
        "post_fork(server, worker)",
        "post_worker_init(worker)",
    ] {
        server.write(
            "gunicorn.conf.py",
            &format!("def {hook}: raise OSError('not now')\n"),
        );

        let outcome = server.ctl(&["reload"]);

        assert_ne!(outcome.status, 0, "{outcome:?}");
        assert!(outcome.stderr.contains("OSError: not now"), "{outcome:?}");
        assert_eq!(server.worker_pids(), before);
    }
}

#[test]
fn a_hook_that_takes_other_arguments_or_is_none_is_refused_with_its_place() {
    for (conf, says) in [
        (
            "\ndef post_fork(worker): pass\n",
            "gunicorn.conf.py:2: post_fork: must take 2 arguments (server, worker), not 1",
        ),
        (
            "on_exit = 'os.getpid'\n",
            "gunicorn.conf.py:1: on_exit: must be a function",
        ),
    ] {
        let server = with(conf).launch();
        assert_ne!(server.wait_for_exit(), 0);
        assert!(server.stderr().contains(says), "{}", server.stderr());
    }
    // These are good enough.
    let server = with(
        "def post_fork(*both): pass\n\
         def pre_fork(server, worker, more=None): pass\n\
         when_ready = print\n\
         on_exit = None\n",
    )
    .start();
    server.wait_for_workers(1);
}

#[test]
fn a_hook_that_hangs_takes_only_its_fork_server_with_it() {
    let server = with(
        "import os, time\n\
         workers = 1\n\
         def pre_fork(server, worker):\n\
         \x20   if os.path.exists('hang'):\n\
         \x20       os.rename('hang', 'hung')\n\
         \x20       time.sleep(3600)\n",
    )
    .start();
    server.wait_for_workers(1);
    server.write("hang", "");

    server.signal(Signal::SIGTTIN);

    server.wait_until("the hook hangs", || server.folder().join("hung").exists());
    assert_eq!(server.get("/").text(), "Hello, world!\n");
    server.wait_for_log("fork server");
    server.wait_for_workers(2);
}

/// `answers.py` is not needed: this says what it was asked, and fails on request.
const ANSWERING: &str = "\
def app(environ, start_response):
    if environ['PATH_INFO'] == '/fails':
        raise KeyError('shop')
    start_response('203 Some', [('X-A', 'b')])
    return [b'four']
";

#[test]
fn hooks_see_each_request_before_and_after_it_is_answered() {
    for threads in [1, 4] {
        let conf = "\
def pre_request(worker, req):
    if req.path == '/refused':
        raise ValueError('not this one')
    with open('calls', 'a') as calls:
        calls.write(f'pre {worker.nr} {req.method} {req.uri} {req.path} {req.query} {req.version} {dict(req.headers)[\"X-SHOP\"]}\\n')

def post_request(worker, req, environ, resp):
    with open('calls', 'a') as calls:
        calls.write(f'post {worker.nr} {req.path} {environ[\"PATH_INFO\"]} {resp.status} {resp.status_code} {resp.sent} {resp.headers}\\n')
";
        let server = Server::running("shop:app")
            .file("shop.py", ANSWERING)
            .setting("config", "gunicorn.conf.py")
            .setting("threads", threads)
            .file("gunicorn.conf.py", conf)
            .start();
        let get = |path: &str| {
            server.request(format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nX-Shop: open\r\n\r\n"
            ))
        };

        // The hook behind a request is called after its answer, perhaps by another thread than
        // what comes next.
        assert_eq!(get("/one?a=b").status, 203);
        wait_for_calls(&server, "post", 1);
        assert_eq!(get("/fails").status, 500);
        wait_for_calls(&server, "post", 2);
        assert_eq!(get("/refused").status, 500);

        server.wait_for_log("ValueError: not this one");
        let calls = server.read("calls");
        assert_eq!(
            calls.lines().collect::<Vec<_>>(),
            [
                "pre 0 GET /one?a=b /one a=b (1, 1) open",
                "post 1 /one /one 203 Some 203 4 [('X-A', 'b')]",
                "pre 1 GET /fails /fails  (1, 1) open",
                "post 2 /fails /fails None None 0 []",
            ],
            "{threads}"
        );
    }
}

#[test]
fn a_hook_after_a_request_takes_what_old_ones_take_and_does_no_harm_when_it_fails() {
    for parameters in ["worker, req", "worker, req, environ", "*all"] {
        let conf = format!(
            "def post_request({parameters}):\n\
             \x20   open('called', 'a').close()\n\
             \x20   raise ValueError('after')\n"
        );
        let server = with(&conf).start();

        for _ in 0..3 {
            assert_eq!(server.get("/").text(), "Hello, world!\n");
        }

        server.wait_for_log("The hook post_request of");
        server.wait_for_log("ValueError: after");
        assert!(server.folder().join("called").exists());
    }
}

#[test]
fn a_worker_that_is_aborted_writes_its_stacks_and_calls_its_hooks() {
    let conf = "\
timeout = 1
def worker_abort(worker):
    worker.log.info('aborted %s: %s', worker.age, worker.aborted)
def worker_exit(server, worker):
    worker.log.info('exits')
";
    let app = "\
import time
def app(environ, start_response):
    while True:
        try:
            time.sleep(100)
        except BaseException:
            pass
";
    let server = Server::running("shop:app")
        .file("shop.py", app)
        .setting("config", "gunicorn.conf.py")
        .file("gunicorn.conf.py", conf)
        .start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");

    server.wait_for_log("aborted 1: True");
    server.wait_for_log("exits");

    server.wait_for_log("shop.py\", line 5 in app");
    server.wait_for_log("Worker 1 left: exit status 1");
    server.wait_for_workers(1);
    drop(client);
}

#[test]
fn what_the_hooks_of_the_master_have_made_is_there_after_a_reload_and_a_lost_fork_server() {
    let conf = "\
import os
def on_starting(server):
    server.shared = os.getpid()
def post_fork(server, worker):
    worker.log.info('shared %s', server.shared == server.shared)
";
    let server = with(conf).start();
    let before = server.wait_for_workers(1);

    assert_eq!(server.ctl(&["reload"]).status, 0, "{}", server.stderr());
    server.wait_until("the worker is new", || {
        let now = server.worker_pids();
        now.len() == 1 && now.is_disjoint(&before)
    });
    server.wait_until("the old processes are gone", || {
        server.other_pids().len() == 1
    });
    let fork_server = *server.other_pids().first().unwrap();
    processes::signal(fork_server, Signal::SIGKILL);
    server.wait_until("another generation serves", || {
        server.ctl(&["status"]).stdout.contains("generation 3")
    });
    server.wait_for_workers(1);
}

#[test]
fn the_end_of_a_worker_is_told_when_there_is_a_fork_server_again() {
    let server = with(RECORDER).start();
    let workers = server.wait_for_workers(2);
    let fork_server = *server.other_pids().first().unwrap();
    let victim = *workers.first().unwrap();

    processes::signal(server.pid(), Signal::SIGSTOP);
    processes::signal(fork_server, Signal::SIGKILL);
    processes::signal(victim, Signal::SIGKILL);
    // What is sent to one that is about to end is lost with it.
    server.wait_until("both have ended", || {
        [fork_server, victim].map(processes::state) == [Some('Z'); 2]
    });
    processes::signal(server.pid(), Signal::SIGCONT);

    server.wait_until("the hook is called", || {
        let ends = calls(&server, "child_exit");
        ends.iter()
            .any(|end| end.ends_with(&format!(" {victim} True")))
    });
}

#[test]
fn the_last_words_of_every_worker_arrive() {
    let server =
        with("workers = 8\ndef worker_exit(server, worker): worker.log.info('leaves')\n").start();
    server.wait_for_workers(8);

    server.signal(Signal::SIGTERM);

    assert_eq!(server.wait_for_exit(), 0);
    assert_eq!(server.log_count("leaves"), 8, "{}", server.stderr());
}

#[test]
fn a_hook_that_does_not_let_the_service_end_is_named() {
    let server = with("import time\ndef on_exit(server): time.sleep(3600)\n").start();
    server.wait_for_workers(1);

    server.signal(Signal::SIGTERM);

    assert_eq!(server.wait_for_exit(), 0);
    assert!(
        server.stderr().contains("on_exit, or a hook before it"),
        "{}",
        server.stderr()
    );
}

#[test]
fn a_hook_may_be_a_method_of_an_object() {
    let conf = "\
workers = 1
class Hooks:
    def post_fork(self, server, worker): worker.log.info('forked %s', worker.age)
    def post_request(self, worker, req): worker.log.info('answered %s', req.path)
    @classmethod
    def when_ready(cls, server): server.log.info('of the class')
hooks = Hooks()
post_fork, post_request, when_ready = hooks.post_fork, hooks.post_request, hooks.when_ready
";
    let server = with(conf).start();
    server.wait_for_log("of the class");
    server.wait_for_log("forked 1");
    assert_eq!(server.get("/there").status, 200);
    server.wait_for_log("answered /there");

    let server = with("class Hooks:\n    def bad(self, server): pass\npost_fork = Hooks().bad\n");
    let server = server.launch();
    assert_ne!(server.wait_for_exit(), 0);
    let says = "gunicorn.conf.py:2: post_fork: must take 2 arguments (server, worker), not 1";
    assert!(server.stderr().contains(says), "{}", server.stderr());
}

#[test]
fn a_call_that_logs_never_fails() {
    let conf = "\
import sys
workers = 1
class Unshowable:
    def __str__(self): raise KeyError('no text')
    __repr__ = __str__
def post_fork(server, worker):
    log = worker.log
    log.info('%s and %s', 'one')
    log.info('a name: %s', '\\udcff')
    log.info('%d', Unshowable())
    log.warning(Unshowable())
    try:
        1 / 0
    except ZeroDivisionError as error:
        kept, told = error, sys.exc_info()
    log.error('kept', exc_info=kept)
    log.error('told', exc_info=told)
    log.info(msg='by its name')
    log.log(None, 'no level')
    try:
        raise ValueError('\\udcfe')
    except ValueError:
        log.exception('raised')
    raise LookupError('in the end: \\udcfd')
";
    let server = with(conf).launch();

    assert_eq!(server.wait_for_exit(), 3);

    let log = server.stderr();
    for says in [
        "'%s and %s' with the arguments ('one',) (cannot be formatted: TypeError(",
        "a name: \\udcff",
        "'%d' with the arguments <tuple that Python cannot show>",
        "<Unshowable that Python cannot show> with the arguments ()",
        "by its name",
        "no level",
        "ValueError: \\udcfe",
        "the hook post_fork failed: LookupError: in the end: \\udcfd",
    ] {
        assert!(log.contains(says), "{says}: {log}");
    }
    let divisions = log.matches("ZeroDivisionError: division by zero").count();
    assert_eq!(divisions, 2, "{log}");
}

#[test]
fn a_process_that_a_hook_forks_may_exit() {
    let conf = "\
import os, sys
workers = 1
def fork(status):
    child = os.fork()
    if child == 0:
        sys.exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
def on_starting(server): server.log.info('its status is %d', fork(0))
def pre_fork(server, worker): server.log.info('its status is %d', fork(7))
def post_request(worker, req): worker.log.info('its status is %d', fork(8))
";
    let server = with(conf).start();
    server.wait_for_log("its status is 0");
    server.wait_for_log("its status is 7");
    assert_eq!(server.get("/").status, 200);
    server.wait_for_log("its status is 8");
    assert!(
        !server.stderr().contains("Traceback"),
        "{}",
        server.stderr()
    );
}

#[test]
fn a_worker_that_is_ended_before_its_first_hook_calls_none() {
    // The signal is blocked until the worker can handle it.
    let conf = "\
import os, signal
workers = 1
server = os.getpid()
def after():
    if os.getppid() != server and os.path.exists('quit'):
        os.remove('quit')
        os.kill(os.getpid(), signal.SIGQUIT)
os.register_at_fork(after_in_child=after)
def note(hook, worker):
    with open('calls', 'a') as calls:
        calls.write(f'{hook} {worker.age}\\n')
def worker_int(worker): note('worker_int', worker)
def worker_exit(server, worker): note('worker_exit', worker)
";
    let server = with(conf).start();
    server.wait_for_workers(1);
    server.write("quit", "");

    server.signal(Signal::SIGTTIN);

    server.wait_until("a worker is ended", || {
        !server.folder().join("quit").exists()
    });
    server.wait_for_workers(2);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_for_exit(), 0);
    let log = server.stderr();
    assert!(!log.contains("AttributeError"), "{log}");
    let mut exits = calls(&server, "worker_exit");
    exits.sort();
    assert_eq!(exits, ["1", "3"]);
    assert!(calls(&server, "worker_int").is_empty());
}

/// It answers with what the environment has that a hook can change.
const ECHO: &str = "\
NAMES = ('REQUEST_METHOD', 'PATH_INFO', 'QUERY_STRING', 'RAW_URI', 'wsgi.url_scheme',
         'HTTP_X_RID', 'HTTP_X_GONE', 'HTTP_X_OLD', 'CONTENT_TYPE')
def app(environ, start_response):
    start_response('200 OK', [])
    return [ascii([environ.get(name) for name in NAMES]).encode()]
";

#[test]
fn what_a_hook_changes_of_a_request_reaches_the_application() {
    let conf = "\
def pre_request(worker, req):
    if req.path == '/as-it-is':
        return
    req.headers = [pair for pair in req.headers if pair[0] != 'X-GONE']
    req.headers[:] = [('X-OLD', 'new') if name == 'X-OLD' else (name, value) for name, value in req.headers]
    req.headers += [('X-RID', 'abc'), ('X-Rid', 'def'), ('CONTENT-TYPE', 'text/b')]
    req.method, req.path, req.query, req.uri, req.scheme = 'PUT', '/caf%C3%A9', 'c=d', '/other', 'https'
";
    let server = Server::running("shop:app")
        .file("shop.py", ECHO)
        .setting("config", "gunicorn.conf.py")
        .file("gunicorn.conf.py", conf)
        .start();
    let get = |path: &str| {
        let fields = "Host: a\r\nX-Gone: 1\r\nX-Old: old\r\n";
        let request = format!("GET {path} HTTP/1.1\r\n{fields}\r\n");
        server.request(request).text()
    };

    assert_eq!(
        get("/as-it-is?a=b"),
        "['GET', '/as-it-is', 'a=b', '/as-it-is?a=b', 'http', None, '1', 'old', None]"
    );
    assert_eq!(
        get("/first?a=b"),
        "['PUT', '/caf\\xc3\\xa9', 'c=d', '/other', 'https', 'abc,def', None, 'new', 'text/b']"
    );
}

#[test]
fn the_hook_after_a_request_is_called_too_where_the_one_before_it_raises() {
    let conf = "\
def pre_request(worker, req): raise ValueError('not this one')
def post_request(worker, req, environ, resp): worker.log.info('after %s %r %r', req.path, environ, resp)
";
    let server = with(conf).start();

    assert_eq!(server.get("/refused").status, 500);

    server.wait_for_log("ValueError: not this one");
    server.wait_for_log("after /refused {} None");
}

#[test]
fn a_worker_knows_how_many_requests_it_has_handled_without_hooks_for_each() {
    for threads in [1, 4] {
        let conf = "\
workers = 1
def note(worker):
    with open('counts', 'a') as counts:
        counts.write(f'{worker.nr} ')
def post_fork(server, worker): note(worker)
def worker_exit(server, worker): note(worker)
";
        let server = with(conf).setting("threads", threads).start();
        for _ in 0..3 {
            assert_eq!(server.get("/").status, 200);
        }

        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait_for_exit(), 0);

        assert_eq!(server.read("counts"), "0 3 ", "{}", server.stderr());
    }
}

#[test]
fn server_worker_and_configuration_have_what_hooks_of_gunicorn_use() {
    let conf = r#"
import os
workers = 1
max_requests = 1000
umask = 0o027
loglevel = "debug"
loaded = []

def check(**facts):
    wrong = [name for name, fact in facts.items() if not fact]
    if wrong:
        raise AssertionError(wrong)

def post_fork(server, worker):
    cfg, log, listener = server.cfg, server.log, server.LISTENERS[0]
    cfg.set("keepalive", 77)
    log.error_log.info("by %s", "error_log")
    worker.tmp.notify()
    worker.tmp.close()
    check(
        getsockname=listener.getsockname() == cfg.address[0] == server.address[0],
        shown=str(listener) == "http://%s:%d" % listener.getsockname(),
        sockets=worker.sockets[0] is listener,
        get=cfg.settings["workers"].get() == cfg.workers == 1,
        set=cfg.keepalive == 77,
        user=(cfg.uid, cfg.gid) == (cfg.user, cfg.group) == (os.geteuid(), os.getegid()),
        umask=cfg.umask == 0o027,
        own=cfg.post_fork is post_fork,
        unset=cfg.on_exit(server) is None,
        loglevel=log.loglevel == 10,
        max_requests=worker.max_requests == 1000,
        app=callable(server.app.wsgi()),
    )

def post_worker_init(worker):
    check(served=worker.wsgi is worker.app.wsgi())

def post_request(worker, req):
    check(port=type(req.remote_addr[1]) is int)
    worker.log.info("All is there")
"#;
    let server = Server::running("shop:make()")
        .setting("config", "gunicorn.conf.py")
        .file("gunicorn.conf.py", conf)
        .file(
            "shop.py",
            "from hello import app\n\
             def make():\n\
             \x20   with open('made', 'a') as made: made.write('once ')\n\
             \x20   return app\n",
        )
        .start();
    server.wait_for_log("by error_log");

    assert_eq!(server.get("/").status, 200);

    server.wait_for_log("All is there");
    // What a hook has loaded is served.
    assert_eq!(server.read("made"), "once ");
}

#[test]
fn a_hook_sees_the_other_workers_of_its_fork_server() {
    // Each worker has a place that no other one has.
    let conf = r#"
workers = 3

def pre_fork(server, worker):
    taken = {other.place for other in server.WORKERS.values() if other.alive}
    worker.place = min(set(range(9)) - taken)

def post_fork(server, worker):
    others = sorted(other.place for other in server.WORKERS.values())
    assert all(pid == other.pid for pid, other in server.WORKERS.items())
    assert worker.pid not in server.WORKERS
    with open("calls", "a") as calls:
        calls.write(f"post_fork {worker.place} {others} {worker.pid}\n")

def child_exit(server, worker):
    places = sorted(other.place for other in server.WORKERS.values())
    with open("calls", "a") as calls:
        calls.write(f"child_exit {worker.place} {places} {worker.pid}\n")
"#;
    let server = with(conf).start();
    server.wait_for_workers(3);
    let mut begun = wait_for_calls(&server, "post_fork", 3);
    begun.sort_unstable();
    let place = |number: usize| begun[number].rsplit_once(' ').unwrap();
    assert_eq!(place(0).0, "0 []");
    assert_eq!(place(1).0, "1 [0]");
    assert_eq!(place(2).0, "2 [0, 1]");

    let victim: processes::Pid = place(1).1.parse().unwrap();
    processes::signal(victim, Signal::SIGKILL);

    let gone = wait_for_calls(&server, "child_exit", 1);
    assert_eq!(gone, [format!("1 [0, 2] {victim}")]);
    let begun = wait_for_calls(&server, "post_fork", 4);
    assert!(begun[3].starts_with("1 [0, 2] "), "{begun:?}");
    assert_eq!(server.log_count("Error"), 0);
}

#[test]
fn a_hook_that_takes_all_descriptors_does_not_end_the_fork_server() {
    let conf = r#"
import os, resource
workers = 2
taken = []

def pre_fork(server, worker):
    if os.path.exists("full") and not taken:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
    elif not os.path.exists("full"):
        while taken:
            os.close(taken.pop())
"#;
    let server = with(conf).start();
    let victim = *server.wait_for_workers(2).first().unwrap();
    let fork_server = server.other_pids();
    server.write("full", "");

    processes::signal(victim, Signal::SIGKILL);
    server.wait_for_log("ended before it was ready");
    std::fs::remove_file(server.folder().join("full")).unwrap();

    server.wait_for_workers(2);
    assert_eq!(server.other_pids(), fork_server);
}

/// What it has made, such as files for Prometheus, is to be removed: the service goes on.
#[test]
fn a_worker_that_cannot_load_the_application_exits_for_the_hooks_too() {
    let server = Server::running("shop:app")
        .setting("config", "gunicorn.conf.py")
        .file("gunicorn.conf.py", RECORDER)
        .file("shop.py", "from hello import app\n")
        .start();
    server.wait_for_workers(2);
    server.write("shop.py", "raise RuntimeError('no')\n");

    server.reload();

    server.wait_for_log("cannot load the application: RuntimeError: no");
    let exits = wait_for_calls(&server, "worker_exit", 1);
    let gone = wait_for_calls(&server, "child_exit", 1);
    assert_eq!((exits.len(), gone.len()), (1, 1));
    assert!(
        exits[0].starts_with("3 ") && gone[0].starts_with("3 "),
        "{exits:?} {gone:?}"
    );
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_hook_can_order_what_a_signal_would() {
    let conf = r#"
def child_exit(server, worker):
    assert (server.reexec_pid, server.pidfile, server.WORKER_BOOT_ERROR) == (0, None, 3)
    server.wakeup()
    if worker.age == 1:
        server.reload()
    else:
        server.halt("enough")
"#;
    let server = with(conf).start();
    let first = *server.wait_for_workers(1).first().unwrap();

    processes::signal(first, Signal::SIGKILL);

    server.wait_for_log("Reason: enough");
    assert_eq!(server.wait_for_exit(), 0);
    assert_eq!(server.log_count("Got SIGHUP"), 1);
}

#[test]
fn hooks_with_the_wrong_number_of_parameters_are_refused_all_at_once() {
    let conf = "workers = 2\n\
                def pre_fork(server): pass\n\
                def post_request(a, b, c, d, e): pass\n\
                def on_exit(): pass\n";

    let outcome = Program::rgunicorn(&["--check-config", "hello:app"])
        .file("gunicorn.conf.py", conf)
        .run();

    assert_eq!(outcome.status, 78, "{outcome:?}");
    for says in [
        "gunicorn.conf.py:2: pre_fork: must take 2 arguments (server, worker), not 1\n",
        "gunicorn.conf.py:3: post_request: must take 4 arguments (worker, req, environ, resp), not 5\n",
        "gunicorn.conf.py:4: on_exit: must take 1 argument (server), not 0\n",
    ] {
        assert!(outcome.stderr.contains(says), "{outcome:?}");
    }
}

#[test]
fn a_hook_gets_the_application_that_was_preloaded() {
    let server = with(
        "workers = 1\n\
         preload_app = True\n\
         def when_ready(server): server.log.info('is %s', server.app.wsgi().__name__)\n",
    )
    .setting("app", "made:create()")
    .file(
        "made.py",
        "def create():\n\
         \x20   with open('made', 'a') as file: file.write('x')\n\
         \x20   def served(environ, start_response): pass\n\
         \x20   return served\n",
    )
    .start();

    server.wait_for_log("is served");
    assert_eq!(server.read("made"), "x");
}

#[test]
fn threads_of_the_configuration_are_not_blamed_on_the_application() {
    let server = with(
        "import threading\n\
         workers = 1\n\
         preload_app = True\n\
         threading.Thread(target=threading.Event().wait, daemon=True).start()\n",
    )
    .start();

    server.wait_for_workers(1);
    assert!(!server.stderr().contains("threads"), "{}", server.stderr());
}
