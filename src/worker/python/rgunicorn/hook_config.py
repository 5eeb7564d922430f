"""The settings as hooks have them, and what `gunicorn.config` has: `cfg`."""

import os

from rgunicorn.hook_arguments import ARGUMENTS, NEVER_CALLED

# Settings that are texts also where nothing sets them, and those that are lists.
TEXTS = ("dogstatsd_tags", "root_path", "statsd_prefix")
LISTS = ("http_protocols", "uwsgi_allow_ips")


class Setting:
    """One setting, as `cfg.settings` has them."""

    def __init__(self, name, value):
        self.name = name
        self.value = value

    def get(self):
        return self.value

    def set(self, value):
        self.value = value


class Config:
    """The settings, by Gunicorn's names."""

    def __init__(self, settings, module, addresses):
        for name, value in vars(module).items():
            # What has no effect here is what the file says.
            if name in settings and settings[name] is None:
                settings[name] = value
        for name in (*ARGUMENTS, *NEVER_CALLED):
            if settings.get(name) is None:
                settings[name] = _nothing
        for name in TEXTS:
            settings[name] = settings.get(name) or ""
        for name in LISTS:
            if isinstance(settings.get(name), str):
                settings[name] = [item.strip() for item in settings[name].split(",")]
        settings["user"] = _number_of_user(settings.get("user"))
        settings["group"] = _number_of_group(settings.get("group"))
        settings["umask"] = _umask(settings.get("umask"))
        self.settings = {name: Setting(name, value) for name, value in settings.items()}
        self.address = addresses

    def __getattr__(self, name):
        try:
            return self.__dict__["settings"][name].get()
        except KeyError:
            raise AttributeError(f"no configuration setting for: {name}") from None

    def set(self, name, value):
        """For hooks that read it: what the server does was decided before."""
        if name not in self.settings:
            raise AttributeError(f"no configuration setting for: {name}")
        self.settings[name].set(value)

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
    def sendfile(self):
        configured = self.settings["sendfile"].get()
        return True if configured is None else configured

    @property
    def is_ssl(self):
        return False


def _nothing(*_arguments):
    """A hook that is not set."""


def _number_of_user(user):
    if user is None:
        return os.geteuid()
    try:
        return int(user)
    except ValueError:
        import pwd

        try:
            return pwd.getpwnam(user).pw_uid
        except KeyError:
            return os.geteuid()


def _number_of_group(group):
    if group is None:
        return os.getegid()
    try:
        return int(group)
    except ValueError:
        import grp

        try:
            return grp.getgrnam(group).gr_gid
        except KeyError:
            return os.getegid()


def _umask(umask):
    if isinstance(umask, str):
        return int(umask, 8)
    if umask is None:
        # It can only be read by setting it.
        umask = os.umask(0o077)
        os.umask(umask)
    return umask
