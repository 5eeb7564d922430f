"""peer.py SERVER APPLICATION ADDRESS WORKERS: runs a server that has no command line for several workers.

ADDRESS is a port of 127.0.0.1 or unix:PATH.
"""

import os
import signal
import sys

import applications


def closing(application):
    """fastwsgi 0.0.9 calls `close()` of an iterator, such as Flask's, and not, as PEP 3333 wants, of every iterable. With
    that it leaves out an eighth of Django's work, the end of the request: with this all servers do the same work."""

    def answer(environ, start_response):
        result = application(environ, start_response)
        try:
            return list(result)
        finally:
            result.close()

    return answer


server, name, address, workers = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
application = getattr(applications, name)

if server == "fastwsgi":
    import fastwsgi

    if name == "django":
        application = closing(application)
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
