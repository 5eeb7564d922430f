"""peer.py SERVER APPLICATION ADDRESS WORKERS: runs a server that has no command line for several workers.

ADDRESS is a port of 127.0.0.1 or unix:PATH.
"""

import os
import signal
import sys

import applications

server, name, address, workers = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
application = getattr(applications, name)

if server == "fastwsgi":
    import fastwsgi

    fastwsgi.run(application, "127.0.0.1", int(address), workers=workers)
elif server == "bjoern":
    import bjoern

    if address.startswith("unix:"):
        bjoern.listen(application, address)
    else:
        bjoern.listen(application, "127.0.0.1", int(address))
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
