"""Running a `gunicorn.conf.py`, and telling what it sets."""

import os
import sys

from rgunicorn.application import FUNCTION, METHOD

# Gunicorn's names of what is given on the command line only: no misspelt settings.
OF_THE_COMMAND_LINE = ("config", "check_config", "print_config")

# Where it finds modules first while it runs: the directory that the server was started in.
_directory = None


class Finished:
    """A configuration that has run."""

    def __init__(self, module, file):
        self.module = module
        self.file = file
        self.text = _text_of(file)
        self.lines, self.indented = _lines_of(self.text)


def run_file(path):
    """Runs the file at `path`. Raises whatever it raises."""
    _look_here()
    with open(path, "rb") as file:
        source = file.read()
    # Not an import: what would be cached of it would outlive its next change.
    module = type(sys)("__config__")
    module.__file__ = path
    sys.modules["__config__"] = module
    exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    return Finished(module, path)


def import_module(name):
    """Imports the module of this name. Raises whatever it raises."""
    _look_here()
    __import__(name)
    module = sys.modules[name]
    return Finished(module, getattr(module, "__file__", None) or name)


def _look_here():
    global _directory
    _directory = os.getcwd()
    sys.path.insert(0, _directory)


def move(directory, environment):
    """Goes to the application's directory, and completes its environment."""
    # The configuration may have gone somewhere else.
    if _current() != directory:
        os.chdir(directory)
    if directory == _directory and sys.path[:1] == [_directory]:
        # The application's directory comes first, and is added with its other places. The
        # one in which the server was started stays behind it.
        del sys.path[0]
    os.environ.update(environment)


def _current():
    try:
        return os.getcwd()
    except OSError:
        # The directory is gone.
        return None


def settings(finished, names):
    """Each of `names` that is set, with its value and its line."""
    values = vars(finished.module)
    return [
        (name, values[name], _line(finished, name, values[name]))
        for name in names
        if name in values
    ]


def _line(finished, name, value):
    if type(value) is METHOD:
        value = value.__func__
    if _is_function_of(finished, value):
        return value.__code__.co_firstlineno
    return finished.lines.get(name) or finished.indented.get(name)


def _is_function_of(finished, value):
    # Only types are asked here and below: a proxy may raise whatever is asked of it.
    return type(value) is FUNCTION and value.__code__.co_filename == finished.file


def unused(finished, names):
    """The names of plain values and functions that the file assigns and does not use again,
    and that are not among `names`, with their lines.

    One of them may be a setting whose name is misspelt.
    """
    found = []
    for name, value in vars(finished.module).items():
        line = finished.lines.get(name)
        if line is None or name in names or name.startswith("_"):
            continue
        if name in OF_THE_COMMAND_LINE:
            continue
        is_plain = issubclass(type(value), (str, int, float, list, tuple, dict))
        if not is_plain and not _is_function_of(finished, value):
            continue
        if _occurrences(finished.text, name) == 1:
            found.append((name, line))
    return found


def _text_of(file):
    try:
        with open(file, encoding="utf-8", errors="replace") as text:
            return text.read()
    except OSError:
        # What a module stands in need not be a file.
        return ""


def _lines_of(text):
    """The line in which each name is assigned last, at the outermost level and below it.

    A rough look at the text: to parse it, modules would be needed that every process
    of the site would keep in memory.
    """
    lines = {}
    indented = {}
    for number, line in enumerate(text.splitlines(), 1):
        code = line.lstrip()
        found = lines if code == line else indented
        name, rest = _leading_name(code)
        if name in ("def", "class"):
            name, rest = _leading_name(rest)
            found[name] = number
        elif rest[:1] in (":", ",") or (rest[:1] == "=" and rest[:2] != "=="):
            found[name] = number
    lines.pop("", None)
    return lines, indented


def _leading_name(line):
    """The name at the beginning of the line, if there is one, and what follows it."""
    end = 0
    while end < len(line) and (line[end].isalnum() or line[end] == "_"):
        end += 1
    return line[:end], line[end:].lstrip()


def _occurrences(text, name):
    """How often the name stands in the text as a word."""
    count = 0
    at = text.find(name)
    while at >= 0:
        before = text[at - 1 : at]
        after = text[at + len(name) : at + len(name) + 1]
        if not (before.isalnum() or before == "_" or after.isalnum() or after == "_"):
            count += 1
        at = text.find(name, at + len(name))
    return count


def explain(error, file):
    """What an operator needs of an error that the configuration raised: a line with its place,
    and its traceback."""
    from rgunicorn.application import explain

    summary, traceback = explain(error)
    line = None
    if isinstance(error, SyntaxError) and error.filename == file:
        line = error.lineno
    frames = error.__traceback__
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == file:
            line = frames.tb_lineno
        frames = frames.tb_next
    place = file if line is None else f"{file}:{line}"
    # Without a frame, it would say the same again.
    return f"{place}: {summary}", "" if traceback.strip() == summary.strip() else traceback
