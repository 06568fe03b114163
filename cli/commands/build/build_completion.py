"""Shell completion of what `shoal build` takes."""

from collections.abc import Mapping
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from cli.builds.build_source import MAX_DOCKERFILE_BYTES
from cli.commands.common.name_completion import Complete, names_of
from shoal.errors import InvalidInput


def stages(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of the stages of the Dockerfile; nothing where it cannot be read."""
    from shoal.dockerfile.document import parse_dockerfile

    file, context = (ctx.params.get(each) or "" for each in ("file", "context"))
    try:
        with Path(file or Path(context or ".", "Dockerfile")).open("rb") as opened:
            document = parse_dockerfile(opened.read(MAX_DOCKERFILE_BYTES).decode(errors="replace"), "Dockerfile")
    except (OSError, InvalidInput):
        return []
    return sorted({each.base.alias for each in document.stages if each.base.alias.startswith(incomplete)} - {""})


def contexts(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Directories, and the words that stand in place of one."""
    parts = [CompletionItem(each) for each in ("du", "prune") if each.startswith(incomplete)]
    return [CompletionItem(incomplete, type="dir"), *parts]


def _words(*words: str) -> Complete:
    return lambda _ctx, _parameter, incomplete: [each for each in words if each.startswith(incomplete)]


COMPLETIONS: Mapping[str, Complete] = {
    "--allow": _words("network.host", "security.insecure"),
    "--cache-from": names_of("image"),
    "--network": names_of("network"),
    "--node": names_of("node"),
    "--tag": names_of("image"),
    "--target": stages,
}
"""By the flags that have values of this machine, of the cluster, or of the Dockerfile."""
