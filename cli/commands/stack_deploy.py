"""`shoal stack deploy`, `stack diff` and `stack config`: the commands that read Compose files."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.client import Client
from cli.commands.common.common_options import detach_option, examples, pass_client, verify_option, wait_option
from cli.commands.common.name_completion import names_of
from cli.commands.common.submit import submit
from cli.convergence import wait
from cli.render.error_lines import warn
from cli.render.spec_diff import change_line
from shoal.api.v1.control_pb2 import DeployStackRequest, DeployStackResponse, TaskMove

F = TypeVar("F", bound=Callable[..., Any])

DEPLOY_EXAMPLES = """\b
Examples:
  shoal stack deploy -c web.yaml shop
  shoal stack deploy -c web.yaml -c production.yaml --profile debug --prune shop
  shoal stack deploy --dry-run -c - shop < web.yaml

STACK defaults to the `name:` in the files, else to COMPOSE_PROJECT_NAME.
"""
NO_REGISTRY_AUTH = "each node uses its own registry credentials (`shoal-agent run --registries-file`)"
SIGNS = {"create": ("+", "green"), "update": ("~", "yellow"), "remove": ("-", "red"), "unchanged": ("=", "white")}
MAX_TASKS_SHOWN = 12
"""Tasks of a service that are listed one by one."""


def file_options(function: F) -> F:
    """The options that say which files are meant, and how they are read."""
    for option in (
        click.argument("stack", required=False, shell_complete=names_of("stack")),
        click.option(
            "--env-file", "env_files", multiple=True, metavar="FILE", help="Read variables from FILE instead of .env."
        ),
        click.option("--profile", "profiles", multiple=True, metavar="NAME", help='Enable a profile; "*" enables all.'),
        click.option(
            "-c",
            "--compose-file",
            "files",
            multiple=True,
            required=True,
            type=click.Path(allow_dash=True),
            metavar="FILE",
            help="Path to a Compose file, or - for STDIN (repeatable; later files override earlier ones).",
        ),
    ):
        function = option(function)
    return function


prune_option = click.option(
    "--prune", is_flag=True, help="Remove services, networks, secrets and configs that the files no longer define."
)


resolve_option = click.option(
    "--resolve-image",
    type=click.Choice(["always", "changed", "never"]),
    default="always",
    help="When to query the registry to resolve image digests (default always).",
)


@click.command("deploy", epilog=DEPLOY_EXAMPLES)
@prune_option
@resolve_option
@click.option("--dry-run", is_flag=True, help="Show changes and task placement without applying them.")
@detach_option
@wait_option
@verify_option
@click.option("-q", "--quiet", is_flag=True, help="Suppress progress output.")
@click.option("--with-registry-auth", is_flag=True, help=f"No effect: {NO_REGISTRY_AUTH}.")
@click.option("--no-build", is_flag=True, help="Do not build images; use those that are there.")
@file_options
@click.pass_context
@pass_client
def deploy(
    client: Client,
    ctx: click.Context,
    *,
    stack: str | None,
    files: Sequence[str],
    profiles: Sequence[str],
    env_files: Sequence[str],
    prune: bool,
    resolve_image: str,
    dry_run: bool,
    detach: bool,
    timeout: float,
    verify: float,
    quiet: bool,
    with_registry_auth: bool,
    no_build: bool,
) -> None:
    """Deploy a new stack or update an existing stack, and wait until it has converged.

    Services with `build` are built first, as by `shoal stack build`.
    """
    if with_registry_auth:
        warn(f"--with-registry-auth has no effect: {NO_REGISTRY_AUTH}")
    loaded = load(stack, files, profiles, env_files)
    if loaded.project.builds and not (no_build or dry_run or loaded.faults.found):
        _build(client, ctx, loaded.project.builds, quiet=quiet)
    response = _submit(client, loaded, prune=prune, resolve_image=resolve_image, dry_run=dry_run)
    if dry_run:
        click.echo("dry run: no changes were made")
    elif not detach:
        services = [each.id for each in response.changes if each.kind == "service" and each.action != "remove"]
        if services:
            wait(client, services, seconds=timeout, verify=verify, quiet=quiet)


@click.command(
    "diff", epilog=examples("shoal stack diff -c web.yaml shop", "shoal stack diff --exit-code -c web.yaml shop")
)
@prune_option
@resolve_option
@click.option("--exit-code", is_flag=True, help="Exit with 1 if there are changes.")
@file_options
@pass_client
def diff(
    client: Client,
    *,
    stack: str | None,
    files: Sequence[str],
    profiles: Sequence[str],
    env_files: Sequence[str],
    prune: bool,
    resolve_image: str,
    exit_code: bool,
) -> None:
    """Show what `shoal stack deploy` would change, field by field, and where tasks would be placed."""
    loaded = load(stack, files, profiles, env_files)
    response = _submit(client, loaded, prune=prune, resolve_image=resolve_image, dry_run=True)
    if exit_code and any(change.action != "unchanged" for change in response.changes):
        raise click.exceptions.Exit(1)


@click.command(
    "config",
    epilog=examples("shoal stack config -c web.yaml shop", "shoal stack config -c web.yaml -c production.yaml"),
)
@file_options
def config(*, stack: str | None, files: Sequence[str], profiles: Sequence[str], env_files: Sequence[str]) -> None:
    """Print the Compose model as YAML, after merging and interpolation."""
    import yaml

    from shoal.compose.reading.yaml_tree import to_plain

    loaded = load(stack, files, profiles, env_files).checked()
    warn(*loaded.project.warnings)
    document = {"name": loaded.names.stack, **to_plain(loaded.model.tree.without("name"))}
    click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip())


def load(stack: str | None, files: Sequence[str], profiles: Sequence[str], env_files: Sequence[str]) -> Any:
    """The stack of files, a `LoadedStack`, with its faults in it."""
    from shoal.compose.load import STDIN, load_files

    paths = [STDIN if name == "-" else Path(name) for name in files]
    return load_files(stack, paths, os.environ, profiles=profiles, env_files=[Path(name) for name in env_files])


def _build(client: Client, ctx: click.Context, builds: Sequence[Any], *, quiet: bool) -> None:
    from cli.builds.registry_credentials import registries_of_context
    from cli.builds.stack_builds import StackBuildOptions, build_services
    from cli.render.build_progress.display import Mode, chosen_mode

    mode = Mode.QUIET if quiet else chosen_mode("auto")
    build_services(client, builds, StackBuildOptions(registries_of_context(ctx.find_root().obj), mode))


def _submit(client: Client, loaded: Any, *, prune: bool, resolve_image: str, dry_run: bool) -> DeployStackResponse:
    """Submit the stack and print the changes. Errors are reported with their location in the files."""
    from shoal.compose.fault_locations import locate_faults

    if dry_run and loaded.project.builds:
        resolve_image = "never"  # what is built need not be there yet
    project = loaded.project
    warn(*project.warnings)
    request = DeployStackRequest(
        stack=loaded.names.stack,
        services=project.services,
        networks=project.networks,
        secrets=project.secrets,
        configs=project.configs,
        volumes=project.volumes,
        prune=prune,
        resolve_image=DeployStackRequest.ResolveImage.Value(resolve_image.upper()),
        dry_run=dry_run or bool(loaded.faults.found),
    )
    response = submit(
        lambda: client.call(client.control.DeployStack, request),
        faults=loaded.faults.found,
        translate=lambda faults: locate_faults(loaded.model.tree, faults, loaded.faults, loaded.names),
    )
    warn(*response.warnings)
    _show(response)
    return response


def _show(response: DeployStackResponse) -> None:
    for change in response.changes:
        sign, color = SIGNS.get(change.action, ("?", "white"))
        click.echo(click.style(f"{sign} {change.kind} {change.name} ({change.action})", fg=color))
        for field in change.fields:
            click.echo(f"    {change_line(field)}")
        for line in move_lines(change.moves):
            click.echo(f"    {line}")


def move_lines(moves: Sequence[TaskMove]) -> Iterator[str]:
    """ "web.1 -> h2"; many tasks are counted by where they go."""
    lines = [_move_text(move) for move in moves]
    if len(moves) <= MAX_TASKS_SHOWN:
        yield from (f"{move.name} {line}" for move, line in zip(moves, lines, strict=True))
    else:
        yield from (f"{number} tasks {line}" for line, number in Counter(lines).most_common())


def _move_text(move: TaskMove) -> str:
    if move.pending_reason:
        return f"pending: {move.pending_reason}"
    if not move.to_hostname:
        return f"removed from {move.from_hostname}" if move.from_hostname else "removed"
    if not move.from_hostname:
        return f"-> {move.to_hostname}"
    return (
        f"replaced on {move.to_hostname}"
        if move.from_hostname == move.to_hostname
        else (f"{move.from_hostname} -> {move.to_hostname}")
    )
