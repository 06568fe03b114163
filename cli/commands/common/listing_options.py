"""`--format`, `--filter` and the other options that listings share."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from shoal.errors import InvalidInput

if TYPE_CHECKING:
    from shoal.filters.filter_set import FilterSet

CommandFunction = Callable[..., Any]


class Format(click.ParamType[str]):
    """`table`, `json`, or a Go template, which is checked at once.

    Args:
        plain: the form without a template, beside `json`.
    """

    name = "format"

    def __init__(self, plain: str = "table") -> None:
        self._default = plain

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text in (self._default, "json"):
            return text
        if "{{" not in text and not text.startswith("table "):
            self.fail(f"{text!r} must be {self._default}, json or a Go template such as '{{{{.Name}}}}'.", param, ctx)
        from cli.render.format_template import parse_format

        try:
            parse_format(text)
        except InvalidInput as error:
            self.fail(str(error).removeprefix("--format: "), param, ctx)
        return text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(form) for form in (self._default, "json") if form.startswith(incomplete)]


def make_format_option(*, short: bool = False, plain: str = "table") -> Callable[[CommandFunction], CommandFunction]:
    """The option `--format`; of `inspect` `-f` too, as with Docker, where `-f` of a listing is `--filter`."""
    return click.option(
        *(("-f",) if short else ()),
        "--format",
        "form",
        type=Format(plain),
        default=plain,
        metavar="FORM",
        help=f"Format output: {plain}, json or a Go template such as '{{{{.ID}}}} {{{{.Name}}}}'.",
    )


no_trunc_option = click.option("--no-trunc", is_flag=True, help="Do not truncate output.")
ignored_no_trunc_option = click.option(
    "--no-trunc", is_flag=True, expose_value=False, help="Do not truncate output (this listing never does)."
)
no_resolve_option = click.option("--no-resolve", is_flag=True, help="Do not map IDs to names.")


def filter_option(filters: "FilterSet[Any]") -> Callable[[CommandFunction], CommandFunction]:
    """The option `-f`, `--filter`; its keys, and values of keys that have only some, are completed."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        key, sign, begun = incomplete.partition("=")
        if not sign:
            return [f"{each}=" for each in filters.keys if each.startswith(key)]
        values = filters.keys[key].values if key in filters.keys else ()
        if not values and key in COMPLETED_KEYS:
            from cli.commands.common.name_completion import names_of

            return [f"{key}={each}" for each in names_of(COMPLETED_KEYS[key])(ctx, param, begun)]
        return [f"{key}={each}" for each in values if each.startswith(begun)]

    return click.option(
        "-f",
        "--filter",
        "filters",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=complete,
        help=f"Filter output. Keys: {', '.join(filters.keys)}.",
    )


COMPLETED_KEYS = {
    "node": "node",
    "service": "service",
    "stack": "stack",
    "network": "network",
    "volume": "volume",
    "secret": "secret",
    "config": "config",
    "container": "container",
    "ancestor": "image",
}
"""Keys whose values are names that the cluster knows."""
