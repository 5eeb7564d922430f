"""The tables that are printed: Markdown, medians over the rounds."""

from .rows import COST
from .servers import TITLES


def title(server):
    return TITLES.get(server, server)


def print_table(head, lines):
    print("| " + " | ".join(head) + " |")
    print("| --- |" + " --: |" * (len(head) - 1))
    for line in lines:
        print("| " + " | ".join(line) + " |")
    print()


def figure(measured, wanted):
    """One number of all rounds, and half their range where it is a median; a dash where there is nothing."""
    values = [value for value in measured.get(wanted.key, []) if value is not None]
    if not values:
        return "-"
    text = wanted.form % wanted.combine(values)
    if wanted.combine not in (min, max, sum) and len(values) > 1:
        text += " ± " + wanted.form % ((max(values) - min(values)) / 2)
    return text


def print_costs(rows, results):
    """All rows that show nothing but processor time, in one table with a column for each server."""
    servers = list(dict.fromkeys(server for name in rows for server in results[name].measured))
    for wanted in COST[:2]:
        lines = []
        for name, row in rows.items():
            cells = []
            for server in servers:
                measured = results[name].measured.get(server, {})
                errors = sum(measured.get("errors", []))
                cells.append(figure(measured, wanted) + (", %d errors" % errors if errors else ""))
            lines.append([row.title, *cells])
        print(wanted.title + ":\n")
        print_table(["", *map(title, servers)], lines)


def print_row(row, result):
    print(row.title + ":\n")
    print_table(["", *(wanted.title for wanted in row.figures)],
                [[title(server), *(figure(measured, wanted) for wanted in row.figures)]
                 for server, measured in result.measured.items()])


def print_results(rows, results):
    costs = {name: row for name, row in rows.items() if row.figures == COST and name != "threads"}
    if costs:
        print_costs(costs, results)
    for name, row in rows.items():
        if name not in costs and results[name].measured:
            print_row(row, results[name])
    for name in rows:
        for server, reason in results[name].reasons.items():
            print("* %s: no %s: %s" % (name, title(server), reason))
        if results[name].others and max(results[name].others) > 0.5:
            print("* %s: other programs used up to %.1f processors" % (name, max(results[name].others)))
