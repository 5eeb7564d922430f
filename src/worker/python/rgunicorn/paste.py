"""Applications that a file of PasteDeploy describes."""

import os


def get_wsgi_app(config_uri, name=None, defaults=None):
    """The application of `FILE` or `FILE#section`."""
    from rgunicorn.application import UnusableApplication

    try:
        from paste.deploy import loadapp
    except ModuleNotFoundError as error:
        if error.name not in ("paste", "paste.deploy"):
            raise
        import sys

        raise UnusableApplication(
            f"paste: {sys.executable} has no module paste.deploy: install PasteDeploy for it"
        ) from None
    if ":" not in config_uri.partition("#")[0]:
        config_uri = f"config:{config_uri}"
    return loadapp(config_uri, name=name, relative_to=os.getcwd(), global_conf=defaults)


def has_logging_config(config_file):
    """Whether the file says how to log."""
    from configparser import ConfigParser

    parser = ConfigParser()
    parser.read([config_file])
    return parser.has_section("loggers")


def serve(app, global_conf, **local_conf):
    """The server of a `[server:main]` with `use = egg:rgunicorn#main`, as `pserve` starts it."""
    from rgunicorn.application_class import Application

    file = global_conf["__file__"]
    own_file = local_conf.pop("config", None)
    host = local_conf.pop("host", "")
    port = local_conf.pop("port", "")
    if host and port:
        local_conf["bind"] = f"{host}:{port}"
    elif host:
        local_conf["bind"] = host.split(",")

    class Server(Application):
        def load_config(self):
            self.cfg.set("default_proc_name", file)
            if has_logging_config(file):
                self.cfg.set("logconfig", file)
            self.load_usual_config(own_file)
            for name, value in local_conf.items():
                self.cfg.set(name.lower(), value)

        def load(self):
            return app

    Server().run()
