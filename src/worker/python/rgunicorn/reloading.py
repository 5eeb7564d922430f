"""Which directories the application's modules are in: for `reload`, which is for development."""

import os
import sys
import threading
import time

# Seconds between two looks: modules may be imported later.
PAUSE = 1

# The most characters of paths in one message.
MOST = 16000


class Watch:
    """Tells `report` of directories with modules, each once."""

    def __init__(self, report):
        self.report = report
        self.reported = set()

    def start(self):
        self.look()
        threading.Thread(target=self._look_for_ever, name="rgunicorn reload", daemon=True).start()

    def _look_for_ever(self):
        while True:
            time.sleep(PAUSE)
            self.look()

    def look(self):
        batch = []
        for directory in _directories() - self.reported:
            batch.append(directory)
            if sum(map(len, batch)) > MOST:
                self._tell(batch)
                batch = []
        if batch:
            self._tell(batch)

    def _tell(self, batch):
        # If the master has no room for it now, the next look tells it.
        if self.report(batch):
            self.reported.update(batch)


def _directories():
    directories = set()
    # Another thread may import meanwhile.
    for module in list(sys.modules.values()):
        # As modules of any kind may stand there, which do anything when they are asked.
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str) and os.path.isabs(file):
            directories.add(os.path.dirname(file))
            # The file itself may be a link.
            directories.add(os.path.dirname(os.path.realpath(file)))
    return {directory for directory in directories if _is_text(directory)}


def _is_text(path):
    try:
        path.encode()
        return True
    except UnicodeEncodeError:
        return False
