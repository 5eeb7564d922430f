"""nginx in front of the servers, as in the README."""

import contextlib
import glob
import os
import shutil
import socket
import subprocess
import tempfile
import time

from . import load
from .paths import ROOT, TARGET

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
error_log stderr;
pid {folder}/pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    {sites}
}}
"""
SITE = """
    upstream server{number} {{ server unix:{path}; keepalive 64; }}
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://server{number}; }} }}
"""


class Unavailable(Exception):
    """Why there is no nginx to use."""


def program():
    """The path of nginx, and the folder with libraries of it that are not installed."""
    folder = os.path.join(TARGET, "nginx")
    try:
        subprocess.run([os.path.join(ROOT, "tests", "setup-debian"), "nginx", folder], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable("nginx is not installed, and cannot be unpacked: %s" % error) from error
    installed = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    libraries = glob.glob(os.path.join(folder, "usr", "lib", "*-linux-*"))
    return installed or os.path.join(folder, "usr", "sbin", "nginx"), ":".join(libraries)


class Nginx:
    """One nginx with a port for each upstream socket."""

    def __init__(self, paths):
        path_of_nginx, libraries = program()
        self.folder = tempfile.TemporaryDirectory(prefix="rgunicorn-bench-nginx-")
        with contextlib.ExitStack() as probes:
            self.ports = []
            for _ in paths:
                probe = probes.enter_context(socket.socket())
                probe.bind(("127.0.0.1", 0))
                self.ports.append(probe.getsockname()[1])
        sites = "".join(SITE.format(number=number, path=path, port=port)
                        for number, (path, port) in enumerate(zip(paths, self.ports)))
        # Its worker would otherwise run as nobody, and may not be let into the folders of the sockets.
        user = "user root;" if os.geteuid() == 0 else ""
        configuration = os.path.join(self.folder.name, "nginx.conf")
        with open(configuration, "w") as file:
            file.write(CONFIGURATION.format(user=user, folder=self.folder.name, sites=sites))
        with open(os.path.join(TARGET, "bench-nginx.log"), "wb") as log:
            self.process = subprocess.Popen(
                [path_of_nginx, "-e", "stderr", "-p", self.folder.name, "-c", configuration],
                env={**os.environ, "LD_LIBRARY_PATH": libraries}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self):
        try:
            end = time.monotonic() + 10
            while any(load.ask(port) is None for port in self.ports):
                if time.monotonic() > end or self.process.poll() is not None:
                    raise Unavailable("nginx does not answer, see %s" % os.path.join(TARGET, "bench-nginx.log"))
                time.sleep(0.02)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()
