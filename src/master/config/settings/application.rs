//! Settings: which application, and what it runs in.

macro_rules! rows {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => { $next! { [$($rest),*] $($before)*
    Application {
        /// The application, as `module:callable`.
        ///
        /// `module` alone stands for `module:application`.
        /// `module:factory("argument")` is called once, with Python literals
        /// as arguments, and has to return the application.
        app: App, [], "APP_MODULE", Reload, example r#""shop:app""#;

        /// A configuration in Python, as Gunicorn has it.
        ///
        /// A path such as `gunicorn.conf.py`, or `python:MODULE`; or `script:PATH` or
        /// `script:-m MODULE` for a script with an application of its own, see
        /// rgunicorn-from-gunicorn(7). The application's
        /// interpreter runs it at each start and each reload, in the directory in
        /// which rgunicorn was started. What it sets is weaker than this file and the
        /// command line. On the command line it is given with `--config`, in the
        /// place of this file.
        config: Option<ConfigProgram> = None, [], "", Reload,
            otherwise "./gunicorn.conf.py if that exists and ./rgunicorn.toml does not",
            example r#""/srv/shop/gunicorn.conf.py""#;

        /// The Python interpreter that runs the application.
        ///
        /// For an application in a virtual environment, the one in there;
        /// nothing needs to be installed for rgunicorn. Python 3.10 or later.
        /// A name without a slash is looked for in PATH, a relative path
        /// starts from `chdir`. If pip has installed rgunicorn into a
        /// virtual environment, the default is the Python in there.
        python: Python = Python::python3(), ["--python"], "PROGRAM", Reload,
            example r#""/srv/shop/venv/bin/python""#;

        /// The directory to run the application in.
        ///
        /// Its modules are looked for there first. A relative path starts
        /// from the directory in which rgunicorn was started.
        chdir: Directory = Directory::here(), ["--chdir"], "DIRECTORY", Reload,
            example r#""/srv/shop""#;

        /// More directories to look for modules in, separated by commas.
        ///
        /// They come before Python's own. Relative paths start from `chdir`.
        /// In a file, this may be a list.
        pythonpath: PythonPath = PythonPath::default(), ["--pythonpath"], "DIRECTORIES", Reload,
            example r#"["lib"]"#;

        /// A variable for the application's environment; may be repeated.
        ///
        /// In a file this is a table, `[env]`, or a list of `"KEY=VALUE"`.
        /// Variables on the command line are added to those of the file.
        env: Environment = Environment::default(), ["-e", "--env"], "KEY=VALUE", Reload,
            example r#"{ DJANGO_SETTINGS_MODULE = "shop.settings" }"#;

        /// Serve the application that a file of `PasteDeploy` describes.
        ///
        /// A path such as `production.ini`, or `PATH#SECTION` for another section than
        /// `[app:main]`; it is stronger than `app`. A relative path starts from the directory in
        /// which rgunicorn was started. If the file has a section `[loggers]`, it is the
        /// `logconfig` where nothing else is. `[server:main]` is not read. `PasteDeploy` has to be
        /// installed for the application's interpreter.
        paste: Option<PasteFile> = None, ["--paste", "--paster"], "PATH", Reload,
            otherwise "none", example r#""/srv/shop/production.ini#admin""#;

        /// A value for all sections of the file that `paste` names; may be repeated.
        ///
        /// In a file this is a list.
        raw_paste_global_conf: PasteGlobals = PasteGlobals::default(), ["--paste-global"],
            "KEY=VALUE", Reload, example r#"["debug=false"]"#;

        /// Load the application once, before the workers are forked.
        ///
        /// The workers then share its memory and start at once. A reload
        /// still loads new code.
        preload: bool = false, ["--preload"], "", Reload;
    }
    }};
}

pub(super) use rows;
