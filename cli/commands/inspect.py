"""`inspect` of several names."""

from collections.abc import Callable, Iterable

from cli.commands.each import for_each
from cli.render.structure import show_document


def inspect_each(names: Iterable[str], look: Callable[[str], dict[str, object]], *, form: str) -> None:
    """Show those that there are, and tell those that there are not."""
    outcome = for_each(names, look)
    show_document(outcome.answers, form=form)
    outcome.settle()
