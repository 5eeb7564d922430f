use super::*;
use crate::config::parse_contents;

fn explained(line: &str) -> Explanation {
    let explanation = explain(&[line.to_owned()]);
    // What is to be written is a configuration without mistakes.
    let (_, text) = explanation.text.split_once('\n').unwrap();
    let file = text.split("\n# ").next().unwrap();
    let contents = parse_contents(file).unwrap();
    assert!(contents.errors.is_empty(), "{line}: {contents:?}");
    explanation
}

/// The lines of the file that the line becomes.
fn file(line: &str) -> Vec<String> {
    let Explanation { text, mistakes } = explained(line);
    assert_eq!(mistakes, [] as [&str; 0], "{line}");
    let lines = text.lines().skip(1).map(str::to_owned);
    lines.take_while(|line| !line.is_empty()).collect()
}

#[test]
fn lines_of_real_units_become_files() {
    for (line, expected) in [
        (
            "gunicorn -w 4 -b unix:/run/x.sock app:app",
            &[
                "app = \"app:app\"",
                "bind = \"unix:/run/x.sock\"",
                "workers = 4",
            ] as &[&str],
        ),
        // As Gunicorn's own documentation has it.
        (
            "ExecStart=/usr/bin/gunicorn applicationname.wsgi",
            &["app = \"applicationname.wsgi\""],
        ),
        // As in many guides for Django.
        (
            "ExecStart=/home/sammy/myproject/myprojectenv/bin/gunicorn \\\n          \
             --access-logfile - \\\n          --workers 3 \\\n          \
             --bind unix:/run/gunicorn.sock \\\n          myproject.wsgi:application",
            &[
                "app = \"myproject.wsgi:application\"",
                "python = \"/home/sammy/myproject/myprojectenv/bin/python\"",
                "bind = \"unix:/run/gunicorn.sock\"",
                "workers = 3",
                "accesslog = \"-\"",
            ],
        ),
        (
            "/srv/shop/venv/bin/python3 -m gunicorn --chdir=/srv/shop -kgthread --threads 8 -t0 'shop:create_app(\"x\")'",
            &[
                "app = 'shop:create_app(\"x\")'",
                "python = \"/srv/shop/venv/bin/python3\"",
                "chdir = \"/srv/shop\"",
                "worker_class = \"gthread\"",
                "threads = 8",
                "timeout = 0",
            ],
        ),
        (
            "/usr/bin/env DJANGO_SETTINGS_MODULE=shop.settings gunicorn -e A=1 --preload --user shop --group=www-data shop.wsgi",
            &[
                "app = \"shop.wsgi\"",
                "env = { A = \"1\", DJANGO_SETTINGS_MODULE = \"shop.settings\" }",
                "preload = true",
                "user = \"shop\"",
                "group = \"www-data\"",
            ],
        ),
        (
            "-w 2 -b :8000 -b [::]:8000 a:b",
            &[
                "app = \"a:b\"",
                "bind = [\"0.0.0.0:8000\", \"[::]:8000\"]",
                "workers = 2",
            ],
        ),
    ] {
        assert_eq!(file(line), expected, "{line}");
    }
}

#[test]
fn scripts_and_files_of_paste_need_no_app() {
    for (line, name, expected) in [
        (
            "rgunicorn -w 2 -c script:/srv/shop/serve.py -- -w 4 a",
            "serve",
            &["config = \"script:/srv/shop/serve.py\"", "workers = 2"] as &[&str],
        ),
        (
            "ExecStart=/srv/shop/venv/bin/python -u -X dev /srv/shop/serve.py --port 80",
            "serve",
            &[
                "config = \"script:/srv/shop/serve.py\"",
                "python = \"/srv/shop/venv/bin/python\"",
            ],
        ),
        (
            "env A=1 python3 -m shop.serve gunicorn",
            "shop",
            &[
                "config = \"script:-m shop.serve\"",
                "python = \"python3\"",
                "env = { A = \"1\" }",
            ],
        ),
        (
            "gunicorn --paste /srv/shop/production.ini#admin",
            "production",
            &["paste = \"/srv/shop/production.ini#admin\""],
        ),
        // These run Gunicorn all the same.
        (
            "python -O /srv/venv/bin/gunicorn shop:app",
            "shop",
            &["app = \"shop:app\"", "python = \"python\""],
        ),
    ] {
        assert_eq!(file(line), expected, "{line}");
        let Explanation { text, .. } = explained(line);
        assert!(
            text.starts_with(&format!("# /etc/rgunicorn/{name}.toml\n")),
            "{text}"
        );
    }
}

#[test]
fn what_a_script_or_a_file_of_paste_needs_as_a_site_is_noted() {
    let whole = "write the whole path of the file, as the service starts in /";
    for (line, notes) in [
        (
            "rgunicorn -c script:/srv/shop/serve.py -- a b",
            &["-- a b: the script of a site has no arguments; give it variables of `env`"]
                as &[&str],
        ),
        (
            "python serve.py",
            &[&format!("--config script:serve.py: {whole}")],
        ),
        (
            "gunicorn --paste production.ini",
            &[&format!("--paste production.ini: {whole}")],
        ),
        ("rgunicorn -c file:/srv/shop/conf a:b", &[]),
        ("python -m shop", &[]),
    ] {
        let Explanation { text, mistakes } = explained(line);

        let found: Vec<&str> = text
            .lines()
            .skip_while(|line| *line != "# Not taken over:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.strip_prefix("#   "))
            .collect();
        assert_eq!(found, notes, "{line}");
        assert_eq!(mistakes, [] as [&str; 0], "{line}");
    }
}

#[test]
fn the_units_have_what_the_line_says() {
    let Explanation { text, .. } =
        explained("gunicorn -u shop -m 007 --bind 127.0.0.1:80 shop.wsgi:app");

    for lines in [
        "# /etc/rgunicorn/shop.toml\napp = \"shop.wsgi:app\"\nbind = \"127.0.0.1:80\"\numask = \"007\"\nuser = \"shop\"\n",
        "\nListenStream=/run/rgunicorn/shop.sock\n",
        "# made of shop.toml for rgunicorn@shop.socket\n[Socket]\nListenStream=127.0.0.1:80\n",
        "\nExecStart=/usr/bin/rgunicorn --config /etc/rgunicorn/shop.toml\n",
        "# made of shop.toml for rgunicorn@shop.service\n[Service]\nUser=shop\n",
        "systemctl enable --now rgunicorn@shop.socket\n",
    ] {
        assert!(text.contains(lines), "{lines}\n---\n{text}");
    }
    assert!(!text.contains("%i"), "{text}");
}

#[test]
fn what_is_not_taken_over_is_named_with_the_reason() {
    let Explanation { text, mistakes } = explained(
        "gunicorn --daemon -p /run/x.pid --reload -c gunicorn.conf.py --max-requests 1000 shop:app",
    );

    for note in [
        "#   --daemon: left out; systemd runs a service in the background",
        "#   --config gunicorn.conf.py: write the whole path",
        "config = \"gunicorn.conf.py\"",
    ] {
        assert!(text.contains(note), "{note}\n---\n{text}");
    }
    assert!(text.contains("app = \"shop:app\""), "{text}");
    assert_eq!(mistakes, [] as [&str; 0]);
}

#[test]
fn mistakes_do_not_keep_the_rest_from_being_explained() {
    let Explanation { text, mistakes } =
        explained("gunicorn --wrkers=4 -k gevent -b 8000 -m 9x --user 'a b' --workers");

    assert_eq!(mistakes.len(), 6, "{mistakes:?}");
    for (mistake, words) in mistakes.iter().zip([
        "--bind: \"8000\" is only a number",
        "--workers: a value is missing",
        "--worker-class: \"gevent\" is not supported",
        "--umask: must be a number up to 0o777",
        "--user: must be the name or number of an account",
        "--wrkers: neither Gunicorn nor rgunicorn has this option",
    ]) {
        assert!(mistake.contains(words), "{mistakes:?}");
        assert!(text.contains(&format!("#   {mistake}")), "{text}");
    }
}
