"""The logging of the whole project in one table; the server's messages go where its own go."""

workers = 1
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"short": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "file": {"class": "logging.FileHandler", "filename": "project.log", "formatter": "short"},
        "console": {"class": "logging.StreamHandler", "formatter": "short"},
    },
    "root": {"level": "WARNING", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["file"], "propagate": False},
        "shop": {"level": "DEBUG", "handlers": ["file"], "propagate": False},
    },
}


def post_worker_init(worker):
    import logging

    logging.getLogger("shop").debug("worker %d is there", worker.age)
