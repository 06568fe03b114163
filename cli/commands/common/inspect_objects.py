"""`inspect` of several names."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from cli.commands.common.for_each import for_each
from cli.go_template.template_values import FieldRecord
from cli.render.documents import print_documents

V = TypeVar("V")


def inspect_each(
    names: Iterable[str],
    get: Callable[[str], V],
    *,
    form: str,
    document: Callable[[V], dict[str, object]],
    fields: Callable[[V], FieldRecord],
) -> None:
    """Show the objects that exist, and print an error for each of the others.

    Args:
        document: what is shown of an answer; fields: what templates can name of it.
    """
    outcome = for_each(names, get)
    if form in ("table", "json"):
        print_documents([document(each) for each in outcome.results], form=form)
    else:
        from cli.render.format_template import print_template

        print_template(form, map(fields, outcome.results))
    outcome.exit_if_failed()
