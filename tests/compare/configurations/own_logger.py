"""A logger of the project's own, made of the server's."""

from gunicorn import glogging

workers = 2
loglevel = "info"


class ProjectLogger(glogging.Logger):
    def setup(self, cfg):
        super().setup(cfg)
        with open("set-up", "w") as file:
            file.write(cfg.proc_name)

    def info(self, msg, *args, **kwargs):
        super().info(f"project: {msg}", *args, **kwargs)


logger_class = ProjectLogger


def post_fork(server, worker):
    server.log.info("Worker %s", worker.pid)
