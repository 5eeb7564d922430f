"""Each variable GUNICORN_NAME sets the setting NAME."""

import os

for variable, value in os.environ.items():
    if variable.startswith("GUNICORN_") and variable != "GUNICORN_CMD_ARGS":
        locals()[variable.removeprefix("GUNICORN_").lower()] = value
