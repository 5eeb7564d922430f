"""`python -m rgunicorn`: the program, for this Python."""

import os
import sys


def main():
    from rgunicorn import embedding

    try:
        program = embedding.program()
        os.execv(program, [program, "--python", sys.executable, *sys.argv[1:]])
    except (embedding.Unstartable, OSError) as error:
        sys.exit(f"rgunicorn: {error}")


if __name__ == "__main__":
    main()
