"""Tables, and the same rows as JSON: the two forms in which every listing can be had."""

import json
from collections.abc import Mapping, Sequence

import click


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Rows under upper-case headings, columns as wide as their widest cell and three spaces apart, as `docker` has it.

    Args:
        rows: by column name; a missing cell is empty. Control characters are shown as `?`: a label must not
            be able to move the cursor.
        columns: names with underscores, in order.
    """
    cells = [[_printable(str(row.get(column, ""))) for column in columns] for row in rows]
    heads = [column.replace("_", " ").upper() for column in columns]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = (
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in [heads, *cells]
    )
    return "\n".join(line.rstrip() for line in lines)


def show(rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, form: str, quiet: str | None = None) -> None:
    """Print a listing.

    Args:
        form: "table" or "json" (one JSON array with every key of every row).
        quiet: print the value of this key alone, a line each.
    """
    if quiet is not None:
        for row in rows:
            click.echo(row[quiet])
    elif form == "json":
        click.echo(json.dumps(list(rows), indent=2, default=str))
    else:
        click.echo(table(rows, columns))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
