"""Gunicorn's `Application`, whose settings come from the command line of the script, and
`WSGIApplication`, for which the command line names what is served, too."""

import os
import sys

from rgunicorn.embedding import BaseApplication


class Application(BaseApplication):
    """What a script derives its application from that takes Gunicorn's flags: `init` gives the
    settings that it begins with, and `load` the application."""

    def load_config(self):
        parser = self.cfg.parser()
        given = parser.parse_args(sys.argv[1:])
        own = self.init(parser, given, given.args)
        self.chdir()
        self._set(own or {})
        environment = parser.parse_args(self.cfg.get_cmd_args_from_env())
        self.load_usual_config(given.config or environment.config)
        # The stronger one last.
        for words in (environment, given):
            self._set({name: value for name, value in vars(words).items() if name != "args"})
        self.chdir()

    def _set(self, values):
        for name, value in values.items():
            if value is not None:
                self.cfg.set(name.lower(), value)

    def chdir(self):
        directory = self.cfg.chdir
        os.chdir(directory)
        if directory not in sys.path:
            sys.path.insert(0, directory)

    def get_config_from_filename(self, filename):
        from rgunicorn import configuration

        if not os.path.exists(filename):
            raise RuntimeError(f"{filename!r} doesn't exist")
        return vars(configuration.run_file(os.path.abspath(filename)).module)

    def get_config_from_module_name(self, module_name):
        from rgunicorn import configuration

        return vars(configuration.import_module(module_name).module)

    def load_config_from_module_name_or_filename(self, location):
        if location.startswith("python:"):
            values = self.get_config_from_module_name(location.removeprefix("python:"))
        else:
            values = self.get_config_from_filename(location.removeprefix("file:"))
        self._set({name: value for name, value in values.items() if name in self.cfg.settings})
        return values

    def load_config_from_file(self, filename):
        return self.load_config_from_module_name_or_filename(filename)

    def load_usual_config(self, named=None):
        """Of the file that is named, or of the usual one if that is there."""
        usual = os.path.abspath("gunicorn.conf.py")
        if named:
            self.load_config_from_file(named)
        elif os.path.exists(usual):
            self.load_config_from_file(usual)


class WSGIApplication(Application):
    """What the program `gunicorn` itself runs."""

    app_uri = None

    def init(self, parser, opts, args):
        self.app_uri = None
        if opts.paste is not None:
            from rgunicorn import paste

            return self._begin_with_paste(paste, os.path.abspath(opts.paste))
        if args:
            self.app_uri = args[0]
            return {"default_proc_name": args[0]}
        return None

    def _begin_with_paste(self, paste, uri):
        file = uri.partition("#")[0]
        if not os.path.exists(file):
            raise RuntimeError(f"{file!r} not found")
        self.app_uri = uri
        begin = {"default_proc_name": file}
        if paste.has_logging_config(file):
            begin["logconfig"] = file
        return begin

    def load_config(self):
        super().load_config()
        if self.app_uri is None:
            self.app_uri = self.cfg.wsgi_app
        if self.app_uri is None:
            from rgunicorn.errors import ConfigError

            raise ConfigError("No application module specified.")

    def load_wsgiapp(self):
        from rgunicorn.application import import_application

        return import_application(self.app_uri)

    def load_pasteapp(self):
        from rgunicorn import paste

        return paste.get_wsgi_app(self.app_uri, defaults=self.cfg.paste_global_conf)

    def load(self):
        if self.cfg.paste is not None:
            return self.load_pasteapp()
        return self.load_wsgiapp()


def run(prog=None):
    """Serves what the command line of the script names."""
    WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog=prog).run()
