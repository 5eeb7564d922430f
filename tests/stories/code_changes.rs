//! `reload`: a change of the application's files becomes a reload.

use crate::harness::{Running, Server};
use std::{fs, path::Path};

/// Answers with what two modules say, of which the second is imported by a request.
const APP: &str = "
import text
def app(environ, start_response):
    body = text.TEXT
    if environ['PATH_INFO'] == '/later':
        import parts.later
        body = parts.later.TEXT
    if environ['PATH_INFO'] == '/page':
        body = open('pages/index.html').read()
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body.encode()]
";

fn server() -> Server {
    Server::running("shop:app")
        .file("shop.py", APP)
        .file("text.py", "TEXT = 'one'\n")
        .file("parts/__init__.py", "")
        .file("parts/later.py", "TEXT = 'later one'\n")
        .setting("reload", true)
}

/// Waits until a request is answered with this.
#[track_caller]
fn answers(server: &Running, path: &str, text: &str) {
    server.wait_until(&format!("{path} is answered with {text}"), || {
        server.get(path).text() == text
    });
}

/// As an editor that writes to the file itself.
fn write_in_place(server: &Running, name: &str, text: &str) {
    fs::write(server.folder().join(name), text).unwrap();
}

#[test]
fn changed_code_is_served_however_it_was_written() {
    for preload in [false, true] {
        let server = server().setting("preload", preload).workers(2).start();
        answers(&server, "/", "one");

        // As an editor that replaces the file.
        server.write("text.py", "TEXT = 'two'\n");
        answers(&server, "/", "two");
        write_in_place(&server, "text.py", "TEXT = 'three'\n");
        answers(&server, "/", "three");

        server.wait_for_log("text.py has changed");
        server.wait_for_log("Reload began (a changed file)");
    }
}

#[test]
fn a_module_that_is_imported_later_is_watched_as_well() {
    let server = server().start();
    answers(&server, "/later", "later one");

    // It is known after a moment: what is written before that does not count.
    server.wait_until("the change is noticed", || {
        write_in_place(&server, "parts/later.py", "TEXT = 'later two'\n");
        server.get("/later").text() == "later two"
    });

    // That of the next generation, too, which has not imported it.
    write_in_place(&server, "parts/later.py", "TEXT = 'later three'\n");
    answers(&server, "/later", "later three");
}

#[test]
fn a_mistake_leaves_the_old_code_serving_and_is_told_once() {
    let server = server().start();
    let traffic = server.under_load();

    server.write("text.py", "TEXT = ?\n");

    server.wait_for_log("Reload failed");
    assert_eq!(server.get("/").text(), "one");
    // In the line and in the traceback.
    server.wait_for_log_count("SyntaxError: invalid syntax", 2);
    server.write("text.py", "TEXT = 'two'\n");
    answers(&server, "/", "two");
    assert_eq!(server.log_count("Reload failed"), 1);
    assert_eq!(server.log_count("SyntaxError: invalid syntax"), 2);
    let failures = traffic.finish();
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn a_mistake_in_a_module_that_was_never_imported_can_be_corrected() {
    let server = server().start();
    server.write("added/__init__.py", "TEXT = ?\n");

    server.write("text.py", "from added import TEXT\n");
    server.wait_for_log("Reload failed");
    server.write("added/__init__.py", "TEXT = 'added'\n");

    answers(&server, "/", "added");
}

#[test]
fn many_writes_are_one_reload() {
    let server = server().start();

    for number in 0..50 {
        write_in_place(&server, "text.py", &format!("TEXT = 'write {number}'\n"));
        write_in_place(&server, "shop.py", APP);
    }

    answers(&server, "/", "write 49");
    // On a slow machine, there may be pauses.
    assert!(server.log_count("Reload began") < 10, "{}", server.stderr());
}

#[test]
fn other_files_count_if_they_are_named() {
    let server = server()
        .file("pages/index.html", "page one")
        .setting("reload_extra_files", vec!["pages/*.html"])
        .start();
    assert_eq!(server.get("/page").text(), "page one");

    server.write("pages/notes.txt", "x");
    server.write("pages/new.html", "new");

    server.wait_for_log("pages/new.html has changed");
    server.wait_for_log("Reload finished");
    assert_eq!(server.log_count("notes.txt"), 0);
}

#[test]
fn without_reload_nothing_is_watched_and_a_reload_can_turn_it_on_and_off() {
    let server = server().setting("reload", false).start();
    let watches = |server: &Running| {
        let folder = format!("/proc/{}/fd", server.pid());
        let mut files = fs::read_dir(folder).unwrap();
        files.any(|file| {
            let leads = fs::read_link(file.unwrap().path());
            leads.is_ok_and(|to| to == Path::new("anon_inode:inotify"))
        })
    };
    assert!(!watches(&server));

    server.set("reload", true);
    server.reload();
    server.wait_until("files are watched", || watches(&server));
    server.write("text.py", "TEXT = 'two'\n");
    answers(&server, "/", "two");
    // An order that comes before its end would be part of this reload.
    server.wait_until("both reloads are over", || {
        server.log_count("Reload finished") == 2
    });

    server.set("reload", false);
    server.reload();
    server.wait_until("nothing is watched", || !watches(&server));
}

#[test]
fn under_systemd_it_is_warned_of() {
    server().start().wait_for_log("reload is for development");
}

#[test]
fn it_is_a_flag_as_with_gunicorn() {
    let server = Server::typed("shop:app")
        .file("shop.py", APP)
        .file("text.py", "TEXT = 'one'\n")
        .argument("--reload")
        .argument("--reload-engine=poll")
        .argument("--reload-extra-file=notes.txt")
        .binding_a_port()
        .start();

    server.wait_for_log("reload_engine has no effect here (--reload-engine on the command line): changes are noticed with inotify(7)");
    server.write("text.py", "TEXT = 'two'\n");
    answers(&server, "/", "two");
    server.write("notes.txt", "x");
    server.wait_for_log("notes.txt has changed");
}
