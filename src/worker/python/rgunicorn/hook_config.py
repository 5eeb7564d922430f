"""The settings as hooks have them, and what `gunicorn.config` has: `cfg`."""

import os
import sys

from rgunicorn.hook_arguments import ARGUMENTS, NEVER_CALLED

# Settings that are texts also where nothing sets them, and those that are lists.
TEXTS = ("dogstatsd_tags", "root_path", "statsd_prefix")
LISTS = ("http_protocols", "uwsgi_allow_ips")

# Settings that the master reads, and that are none where the file has an empty text.
ADDRESSES = ("statsd_host",)


class Setting:
    """One setting, as `cfg.settings` has them."""

    # Whether a script has set it.
    is_assigned = False

    # The file and the line in which it has.
    place = ("", None)

    def __init__(self, name, value):
        self.name = name
        self.value = self.default = value

    def get(self):
        return self.value

    def set(self, value):
        self.value = _as_gunicorn_reads(value, self.default)
        self.is_assigned = True
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals is globals():
            frame = frame.f_back
        self.place = (frame.f_code.co_filename, frame.f_lineno)


def _as_gunicorn_reads(value, default):
    """A text where Gunicorn takes one for a number or a switch. The master says what else is
    wrong with a value."""
    if not isinstance(value, str):
        return value
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    if isinstance(default, int):
        try:
            return int(value, 0)
        except ValueError:
            return value
    if isinstance(default, list):
        return [value]
    return value


def _path_or_pair(address):
    """An address of the master's, as Gunicorn has it: a path, or a host and a port."""
    if address is None:
        return None
    if address.startswith("unix://"):
        return address[len("unix://") :]
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class Config:
    """The settings, by Gunicorn's names."""

    def __init__(self, usage=None, prog=None):
        from rgunicorn.gunicorn_settings import defaults

        self.usage = usage
        self.prog = prog
        self._fill(defaults(), None)

    @classmethod
    def of(cls, settings, module, addresses):
        """Those that hold: as the master has them, and objects that the configuration has."""
        cfg = cls.__new__(cls)
        cfg.usage = cfg.prog = None
        for name, value in vars(module).items():
            # What has no effect here is what the file says.
            if name in settings and settings[name] is None and name not in ADDRESSES:
                settings[name] = value
        for name in ADDRESSES:
            settings[name] = _path_or_pair(settings.get(name))
        cfg._fill(settings, addresses)
        return cfg

    def _fill(self, settings, addresses):
        for name in (*ARGUMENTS, *NEVER_CALLED):
            if settings.get(name) is None:
                settings[name] = _nothing
        for name in TEXTS:
            settings[name] = settings.get(name) or ""
        for name in LISTS:
            if isinstance(settings.get(name), str):
                settings[name] = [item.strip() for item in settings[name].split(",")]
        settings["user"] = _number_of(settings.get("user"), os.geteuid, _find_user)
        settings["group"] = _number_of(settings.get("group"), os.getegid, _find_group)
        settings["umask"] = _umask(settings.get("umask"))
        self.settings = {name: Setting(name, value) for name, value in settings.items()}
        self._addresses = addresses

    def __getattr__(self, name):
        try:
            return self.__dict__["settings"][name].get()
        except KeyError:
            raise AttributeError(f"no configuration setting for: {name}") from None

    def __setattr__(self, name, value):
        if name in self.__dict__.get("settings", ()):
            raise AttributeError(f"a setting is not an attribute: use set({name!r}, ...)")
        super().__setattr__(name, value)

    def set(self, name, value):
        """For a script before its `run()`, and for hooks that read it: what the server does was
        decided before these run."""
        if name not in self.settings:
            raise AttributeError(f"no configuration setting for: {name}")
        self.settings[name].set(value)

    def parser(self):
        """Of a command line of Gunicorn."""
        from rgunicorn.gunicorn_settings import parser

        return parser(self.usage, self.prog)

    def get_cmd_args_from_env(self):
        import shlex

        return shlex.split(os.environ.get("GUNICORN_CMD_ARGS", ""))

    @property
    def address(self):
        """Where the server listens; before it does, what is configured."""
        if self._addresses is not None:
            return self._addresses
        bind = self.bind
        return [bind] if isinstance(bind, str) else list(bind or ())

    @property
    def uid(self):
        return self.user

    @property
    def gid(self):
        return self.group

    @property
    def worker_class_str(self):
        return self.worker_class

    @property
    def env(self):
        pairs = (pair.partition("=") for pair in self.raw_env)
        return {name: value for name, _, value in pairs}

    @property
    def paste_global_conf(self):
        pairs = self.raw_paste_global_conf
        if not pairs:
            return None
        return dict(pair.split("=", 1) for pair in pairs)

    @property
    def sendfile(self):
        configured = self.settings["sendfile"].get()
        return True if configured is None else configured

    @property
    def is_ssl(self):
        return False


def _nothing(*_arguments):
    """A hook that is not set."""


def _number_of(account, own, find):
    """The number of a user or a group; our own where none is named, or none has the name."""
    if account is None:
        return own()
    try:
        return int(account)
    except ValueError:
        try:
            return find(account)
        except KeyError:
            return own()


def _find_user(name):
    import pwd

    return pwd.getpwnam(name).pw_uid


def _find_group(name):
    import grp

    return grp.getgrnam(name).gr_gid


def _umask(umask):
    if isinstance(umask, str):
        return int(umask, 8)
    if umask is None:
        # It can only be read by setting it.
        umask = os.umask(0o077)
        os.umask(umask)
    return umask
