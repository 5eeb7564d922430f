"""The number of workers is changed while the site runs; somebody writes it down."""

workers = 1
timeout = 0
worker_class = "sync"


class Numbers:
    def __init__(self, path):
        self.path = path

    def changed(self, server, new_value, old_value):
        with open(self.path, "a") as file:
            file.write(f"{old_value} {new_value}\n")


numbers = Numbers("numbers")


def nworkers_changed(server, new_value, old_value):
    numbers.changed(server, new_value, old_value)
