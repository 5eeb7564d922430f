"""Processor time, as the kernel accounts for it in /proc: of processes, of a process tree, of the machine."""

import collections
import os

TICK = 1 / os.sysconf("SC_CLK_TCK")


def stat_fields(pid):
    """/proc/PID/stat from its third field on: the second, the name, may contain spaces."""
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rpartition(")")[2].split()


def process_tree(root):
    """The ids of a process and all below it."""
    children = collections.defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children[int(stat_fields(int(entry))[1])].append(int(entry))
            except OSError:
                pass
    found, left = [], [root]
    while left:
        pid = left.pop()
        found.append(pid)
        left += children[pid]
    return found


def tree_seconds(root):
    """User and system time of a process tree, with that of the processes it has reaped."""
    total = 0
    for pid in process_tree(root):
        try:
            total += sum(map(int, stat_fields(pid)[11:15]))
        except OSError:
            pass
    return total * TICK


def seconds_by_process(root):
    """User and system time of each process of a tree."""
    seconds = {}
    for pid in process_tree(root):
        try:
            seconds[pid] = sum(map(int, stat_fields(pid)[11:13])) * TICK
        except OSError:
            pass
    return seconds


class Others:
    """What the rest of the machine uses while something is measured, in processors: 1.0 is one of them, all the time.
    A round with a high figure is not to be trusted."""

    def __init__(self, roots):
        self.roots = roots
        self.before = self._now()

    def _now(self):
        with open("/proc/stat") as file:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
        own = os.times()
        ours = sum(map(tree_seconds, self.roots)) + own.user + own.system + own.children_user + own.children_system
        return (user + nice + system + irq + softirq + steal) * TICK - ours, own.elapsed

    def processors(self):
        busy, elapsed = (after - before for after, before in zip(self._now(), self.before))
        return max(0.0, busy / elapsed)
