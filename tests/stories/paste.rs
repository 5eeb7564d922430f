//! Applications that a file of `PasteDeploy` describes.

use crate::{
    compare::venv,
    harness::{Outcome, Program, Server},
};

const BAD_CONFIG: i32 = 78;
const BAD_USAGE: i32 = 64;
const NOT_AN_APPLICATION: i32 = 4;

const MAIN: &str = r"
[DEFAULT]
color = green

[app:main]
paste.app_factory = goods:make
name = main of %(here)s

[app:admin]
paste.app_factory = goods:make
name = admin

[server:main]
use = egg:gunicorn#main
host = 192.0.2.1
port = 1
";

const LOGGERS: &str = r"
[loggers]
keys = root, goods
[handlers]
keys = file
[formatters]
keys =
[logger_root]
handlers =
[logger_goods]
qualname = goods
level = DEBUG
handlers = file
[handler_file]
class = FileHandler
args = ('goods.log',)
";

const GOODS: &str = "
import json, logging
def make(global_conf, **local):
    def app(environ, start_response):
        logging.getLogger('goods').debug('asked')
        start_response('200 OK', [])
        return [json.dumps([local['name'], global_conf['color'], global_conf.get('debug')]).encode()]
    return app
";

fn python() -> String {
    let python = venv().join("bin/python");
    python.to_str().unwrap().to_owned()
}

fn served(file: &str) -> Server {
    Server::typed("--paste")
        .argument(file)
        .argument("--python")
        .argument(&python())
        .file("shop.ini", &format!("{MAIN}{LOGGERS}"))
        .file("goods.py", GOODS)
}

fn outcome(words: &[&str]) -> Outcome {
    // The default port may be taken.
    let words = [words, &["--bind", "127.0.0.1:0"]].concat();
    Program::rgunicorn(&words)
        .file("shop.ini", MAIN)
        .file("goods.py", GOODS)
        .run()
}

#[test]
fn the_application_of_a_file_is_served_and_logs_as_the_file_says() {
    let server = served("shop.ini").start();

    let answer = server.get("/").json();

    let folder = server.folder().canonicalize().unwrap();
    assert_eq!(
        answer,
        serde_json::json!([format!("main of {}", folder.display()), "green", null])
    );
    server.wait_until("the handler of the file has written", || {
        server.read("goods.log") == "asked\n"
    });
    server.write("shop.ini", &MAIN.replace("green", "red"));
    server.reload();
    assert_eq!(server.get("/").json()[1], "red");
}

#[test]
fn another_section_may_be_named_and_global_values_given() {
    let server = served("shop.ini#admin")
        .argument("--paste-global=color=blue")
        .argument("--paste-global")
        .argument("debug=a=\"b'")
        .argument("--preload")
        .start();

    // Those of the file are weaker.
    assert_eq!(
        server.get("/").json(),
        serde_json::json!(["admin", "blue", "a=\"b'"])
    );
    let config = server.ctl(&["config"]).stdout;
    assert!(
        config.contains("shop.ini#admin\"  # --paste on"),
        "{config}"
    );
    assert!(config.contains("# app is not set"), "{config}");
}

#[test]
fn a_configuration_in_python_may_name_the_file_and_its_hooks_can_load_it() {
    let conf = "
paste = 'shop.ini'
raw_paste_global_conf = ['debug=1']
def post_fork(server, worker):
    assert server.app.wsgi() is server.app.wsgi()
    server.log.info('it is %s', type(server.app.wsgi()).__name__)
";
    let server = Server::typed("--python")
        .argument(&python())
        .file("shop.ini", MAIN)
        .file("goods.py", GOODS)
        .file("gunicorn.conf.py", conf)
        .start();

    assert_eq!(server.get("/").json()[2], "1");
    server.wait_for_log("it is function");
}

#[test]
fn a_file_that_cannot_be_served_is_refused_with_the_reason() {
    let ended = outcome(&["--paste", "nowhere.ini"]);
    assert_eq!(ended.status, BAD_USAGE, "{ended:?}");
    assert!(ended.stderr.contains("--paste: cannot read "), "{ended:?}");

    let ended = outcome(&["--paste", "shop.ini", "--paste-global", "debug"]);
    assert_eq!(ended.status, BAD_USAGE, "{ended:?}");
    assert!(ended.stderr.contains("must be KEY=VALUE"), "{ended:?}");

    let toml = Program::rgunicorn(&[])
        .file("rgunicorn.toml", "paste = \"nowhere.ini\"\n")
        .run();
    assert_eq!(toml.status, BAD_CONFIG, "{toml:?}");
    assert!(
        toml.stderr.contains("rgunicorn.toml:1:9: paste: "),
        "{toml:?}"
    );

    let python = python();
    let ended = outcome(&["--paste", "shop.ini#nothing", "--python", &python]);
    assert_ne!(ended.status, 0, "{ended:?}");
    assert!(ended.stderr.contains("nothing"), "{ended:?}");
}

/// A virtual environment without packages.
#[test]
fn where_paste_deploy_is_missing_the_message_says_what_to_install_and_where() {
    let made = Program::new("python3", &["-m", "venv", "--without-pip", "empty"]);
    let mut made = made.file("shop.ini", MAIN).file("goods.py", GOODS);
    assert_eq!(made.run().status, 0);
    let python = made.folder.join("empty/bin/python");
    let python = python.to_str().unwrap();
    let ini = made.folder.join("shop.ini");

    let ended = outcome(&["--paste", ini.to_str().unwrap(), "--python", python]);

    assert_eq!(ended.status, NOT_AN_APPLICATION, "{ended:?}");
    let says = format!("{python} has no module paste.deploy: install PasteDeploy for it");
    assert!(ended.stderr.contains(&says), "{ended:?}");
}
