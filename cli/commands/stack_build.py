"""`shoal stack build`."""

from collections.abc import Sequence

import click

from cli.client import Client
from cli.commands.common.build_run_options import no_cache_option, progress_option, pull_option
from cli.commands.common.common_options import examples, pass_client
from cli.commands.stack_deploy import file_options, load
from cli.render.build_progress.display import Mode, chosen_mode
from cli.render.error_lines import warn


@click.command(
    "build",
    epilog=examples(
        "shoal stack build -c compose.yaml shop",
        "shoal stack build -c compose.yaml --service web --no-cache --pull shop",
    ),
)
@no_cache_option
@progress_option
@pull_option
@click.option("--push", is_flag=True, help="Push the images to the registries of their names.")
@click.option("-q", "--quiet", is_flag=True, help="Suppress progress output.")
@click.option(
    "--service", "services", multiple=True, metavar="NAME", help="Only this service of the files (repeatable)."
)
@file_options
@click.pass_context
@pass_client
def build(
    client: Client,
    ctx: click.Context,
    *,
    stack: str | None,
    files: Sequence[str],
    profiles: Sequence[str],
    env_files: Sequence[str],
    services: Sequence[str],
    no_cache: bool,
    progress: str,
    pull: bool,
    push: bool,
    quiet: bool,
) -> None:
    """Build the images of a stack's services that have `build`, on nodes of the cluster. Nothing is deployed."""
    from cli.builds.registry_credentials import registries_of_context
    from cli.builds.stack_builds import StackBuildOptions, build_services, selected

    loaded = load(stack, files, profiles, env_files).checked()
    warn(*loaded.project.warnings)
    builds = selected(loaded.project.builds, services)
    if not builds:
        warn("no service has a build")
    registries = registries_of_context(ctx.find_root().obj)
    mode = Mode.QUIET if quiet else chosen_mode(progress)
    options = StackBuildOptions(registries, mode, no_cache=no_cache, pull=pull, push=push)
    build_services(client, builds, options)
