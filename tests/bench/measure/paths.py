"""Where things are, and how they are installed and compiled."""

import os
import subprocess

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
APPS = os.path.join(BENCH, "apps")
ROOT = os.path.dirname(os.path.dirname(BENCH))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")))
VENV = os.path.join(TARGET, "bench-venv")
SCRIPTS = os.path.join(VENV, "bin")
PYTHON = os.path.join(SCRIPTS, "python")


def prepare():
    """Installs what is missing."""
    subprocess.run([os.path.join(ROOT, "tests", "needs"), "build", "bench"], check=True)
    requirements = os.path.join(BENCH, "requirements.txt")
    subprocess.run([os.path.join(ROOT, "tests", "setup-venv"), VENV, requirements], check=True)


def rgunicorn(source=ROOT, target=TARGET):
    """The path of the rgunicorn of a source, compiled into the build directory `target`."""
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=source, check=True,
                   env={**os.environ, "CARGO_TARGET_DIR": target})
    return os.path.join(target, "release", "rgunicorn")


def compiled(source):
    """The path of a C program, compiled anew if its source has changed."""
    path = os.path.join(BENCH, source)
    program = os.path.join(TARGET, "bench-" + os.path.splitext(source)[0])
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(path):
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", program, path], check=True)
    return program
