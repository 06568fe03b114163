"""`inspect` of several names."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from cli.commands.each import for_each
from cli.go_template.values import Record
from cli.render.structure import show_document

V = TypeVar("V")


def inspect_each(
    names: Iterable[str],
    get: Callable[[str], V],
    *,
    form: str,
    document: Callable[[V], dict[str, object]],
    fields: Callable[[V], Record],
) -> None:
    """Show those that there are, and tell those that there are not.

    Args:
        document: what is shown of an answer; fields: what templates can name of it.
    """
    outcome = for_each(names, get)
    if form in ("table", "json"):
        show_document([document(each) for each in outcome.answers], form=form)
    else:
        from cli.render.template import show_template

        show_template(form, map(fields, outcome.answers))
    outcome.settle()
