"""peer.py SERVER APPLICATION PORT WORKERS: a server that has no command line of its own."""

import os
import signal
import sys

import applications

server, name, port, workers = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
application = getattr(applications, name)

if server == "fastwsgi":
    import fastwsgi

    fastwsgi.run(application, "127.0.0.1", port, workers=workers)
elif server == "bjoern":
    import bjoern

    bjoern.listen(application, "127.0.0.1", port)
    pids = []
    for _ in range(workers):
        pid = os.fork()
        if pid == 0:
            bjoern.run()
            os._exit(0)
        pids.append(pid)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGKILL) for pid in pids])
    for pid in pids:
        os.waitpid(pid, 0)
