"""Configuring `logging` as the settings of the server say, before anything is loaded that
logs: in the fork server, for itself and its workers."""

import logging

from rgunicorn import glogging
from rgunicorn.hook_config import Config
from rgunicorn.hooks import HookFailed

# What hooks have as `server.log` and `worker.log`.
log = None


def apply(module, settings, emit):
    """Raises HookFailed if what is configured cannot be used."""
    global log
    if module is None:
        module = type(logging)("__config__")
    elif "logconfig_dict" in vars(module):
        settings["logconfig_dict"] = module.logconfig_dict
    cfg = Config.of(settings, module, [])
    try:
        log = glogging.make(cfg.logger_class, cfg, lambda text: emit("warning", text))
    except glogging.Unusable as error:
        raise HookFailed(str(error)) from error.__cause__
