"""`--format`, `--filter` and the other options that listings share."""

from collections.abc import Callable
from typing import Any

import click

from shoal.errors import InvalidInput
from shoal.filters.filters import Filters

Command = Callable[..., Any]


class Format(click.ParamType[str]):
    """`table`, `json`, or a Go template, which is checked at once.

    Args:
        plain: the form without a template, beside `json`.
    """

    name = "format"

    def __init__(self, plain: str = "table") -> None:
        self._plain = plain

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text in (self._plain, "json"):
            return text
        if "{{" not in text and not text.startswith("table "):
            self.fail(f"{text!r} is not {self._plain}, json, or a template like '{{{{.Name}}}}'.", param, ctx)
        from cli.render.template import parsed

        try:
            parsed(text)
        except InvalidInput as error:
            self.fail(str(error).removeprefix("--format: "), param, ctx)
        return text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(form) for form in (self._plain, "json") if form.startswith(incomplete)]


def formatted(*, short: bool = False, plain: str = "table") -> Callable[[Command], Command]:
    """The option `--format`; of `inspect` `-f` too, as with Docker, where `-f` of a listing is `--filter`."""
    return click.option(
        *(("-f",) if short else ()),
        "--format",
        "form",
        type=Format(plain),
        default=plain,
        metavar="FORM",
        help=f"{plain}, json, or a Go template: '{{{{.ID}}}} {{{{.Name}}}}'.",
    )


no_trunc_option = click.option("--no-trunc", is_flag=True, help="Cut nothing short: digests of images, ids in names.")
uncut_option = click.option(
    "--no-trunc", is_flag=True, expose_value=False, help="Cut nothing short; nothing is in this listing."
)
no_resolve_option = click.option("--no-resolve", is_flag=True, help="Show ids in place of names.")


def filtered(filters: Filters[Any]) -> Callable[[Command], Command]:
    """The option `-f`, `--filter`; its keys, and values of keys that have only some, are completed."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        key, sign, begun = incomplete.partition("=")
        if not sign:
            return [f"{each}=" for each in filters.keys if each.startswith(key)]
        values = filters.keys[key].values if key in filters.keys else ()
        if not values and key in NAMED:
            from cli.commands.complete import names_of

            return [f"{key}={each}" for each in names_of(NAMED[key])(ctx, param, begun)]
        return [f"{key}={each}" for each in values if each.startswith(begun)]

    return click.option(
        "-f",
        "--filter",
        "filters",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=complete,
        help=f"Only those that fit; keys: {', '.join(filters.keys)}.",
    )


NAMED = {
    "node": "node",
    "service": "service",
    "stack": "stack",
    "network": "network",
    "volume": "volume",
    "secret": "secret",
    "config": "config",
}
"""Keys whose values are names that the cluster knows."""
