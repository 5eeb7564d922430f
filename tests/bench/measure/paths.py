"""Where things are, and the programs of the benchmark that have to be compiled."""

import os
import subprocess

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
APPS = os.path.join(BENCH, "apps")
ROOT = os.path.dirname(os.path.dirname(BENCH))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")))
VENV = os.path.join(TARGET, "bench-venv")
SCRIPTS = os.path.join(VENV, "bin")
PYTHON = os.path.join(SCRIPTS, "python")


def compiled(source):
    """The path of a C program, compiled anew if its source has changed."""
    path = os.path.join(BENCH, source)
    program = os.path.join(TARGET, "bench-" + os.path.splitext(source)[0])
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(path):
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", program, path], check=True)
    return program
