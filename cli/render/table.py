"""Listings: rows as a table, as JSON or through a template."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import click

FieldSource = str | Callable[[Mapping[str, Any]], Any]
"""Where the value of a template's field comes from: a key of the row, or a function of it."""


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Rows under upper-case headings, columns as wide as their widest cell and three spaces apart, as `docker` has it.

    Args:
        rows: by column name; a missing cell is empty. Control characters are shown as `?`: a label must not
            be able to move the cursor.
        columns: names with underscores, in order.
    """
    return column_table({column: [str(row.get(column, "")) for row in rows] for column in columns})


def column_table(columns: Mapping[str, Sequence[str]]) -> str:
    """As `table`, from the cells of each column; twice as fast for many rows."""
    padded = []
    for name, cells in columns.items():
        lines = [name.replace("_", " ").upper(), *cells]
        if not "".join(lines).isprintable():
            lines = list(map(_printable, lines))
        width = max(map(len, lines))
        padded.append([line.ljust(width) for line in lines])
    return "\n".join(map(str.rstrip, map("   ".join, zip(*padded, strict=True))))


def natural_order(text: str) -> list[tuple[int, str]]:
    """A key to sort by that takes numbers as such: 10.0.0.9 comes before 10.0.0.10."""
    return [(int(number or 0), word) for number, word in re.findall(r"(\d+)|(\D+)", text)]


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Cells as lines whose columns begin at the same place; lines need not have the same number of cells."""
    columns = zip_longest(*lines, fillvalue="")
    widths = [max(map(len, column)) for column in columns]
    return ["   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip() for line in lines]


def print_listing(
    rows: Sequence[Mapping[str, object]],
    columns: Sequence[str],
    *,
    form: str,
    quiet: str | None = None,
    names: Mapping[str, FieldSource] | None = None,
) -> None:
    """Print a listing.

    Args:
        form: "table", "json" (one JSON array with every key of every row), or a Go template.
        quiet: print the value of this key alone, a line each.
        names: what Docker calls fields of the rows in templates, beside the columns' own names.
    """
    if quiet is not None:
        for row in rows:
            click.echo(row[quiet])
    elif form == "json":
        click.echo(json.dumps(list(rows), indent=2, default=str))
    elif form != "table":
        from cli.render.format_template import print_template, row_record

        print_template(form, (row_record(row, names or {}) for row in rows))
    else:
        click.echo(table(rows, columns))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)
