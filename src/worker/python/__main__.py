"""A fork server: the master alone starts it, as `PYTHON THIS_FILE`.

Python compiles this file at each start, which takes memory in every process of a site: the
rest is in a module, whose bytecode is kept.
"""

import sys

import rgunicorn_start

sys.exit(rgunicorn_start.main(rgunicorn_start.compile_package))
