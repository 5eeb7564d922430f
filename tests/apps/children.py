"""Starts programs, and shows with which signal state and descriptors they start."""

import json
import os
import subprocess

SIGNALS = ("SigBlk", "SigIgn", "SigCgt")


def parse(text):
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: int(fields[name].strip(), 16) for name in SIGNALS}


def app(environ, start_response):
    with open("/proc/self/status") as own:
        mine = parse(own.read())
    started = parse(subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout)
    with os.popen("cat /proc/self/status") as pipe:
        shell = parse(pipe.read())
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "cat /proc/self/status > spawned.%d" % os.getpid()], os.environ)
    exit_status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with open("spawned.%d" % os.getpid()) as file:
        spawned = parse(file.read())
    script = "ls -l /proc/self/fd | grep -o '[0-9]* -> .*'"
    descriptors = subprocess.run(["sh", "-c", script], capture_output=True, text=True, close_fds=False).stdout
    body = json.dumps({
        "own": mine,
        "subprocess": started,
        "popen": shell,
        "posix_spawn": spawned,
        "exit_status": exit_status,
        "failure": subprocess.run(["false"]).returncode,
        "descriptors": descriptors.splitlines(),
    }).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
