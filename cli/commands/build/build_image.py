"""`shoal build`."""

import os
from pathlib import Path
from typing import Any

import click

from cli.builds.build_report import BuildFiles, execute
from cli.builds.build_source import choose_source
from cli.builds.platform_builds import build_platforms, check_platforms
from cli.builds.prepared_build import prepare
from cli.builds.result_files import output_kind, saver
from cli.builds.secret_values import secret_value
from cli.client import Client
from cli.commands.build.build_completion import COMPLETIONS, contexts
from cli.commands.common.build_run_options import no_cache_option, progress_option, pull_option
from cli.commands.common.common_options import examples, pass_client
from cli.commands.image.image_options import registries_option, settings_of
from cli.flags.build_options import BuildDraft, build_options, draft_of
from cli.flags.fault_collector import FaultCollector
from cli.render.build_progress.display import Mode, chosen_mode
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.spec_parsers.builds.build_outputs import BuildOutputOption


@click.command(
    "build",
    epilog=examples(
        "shoal build -t web:1 .",
        "shoal build --target test --build-arg V=2 --secret id=npm,src=.npmrc -f deploy/Dockerfile .",
        "shoal build -t web:1 - < context.tar",
        "shoal build --push -t registry.example.com/team/web:1 https://github.com/docker/welcome-to-docker.git",
        "shoal build -o out --platform linux/amd64 .",
        "shoal build --check .",
        "shoal build du",
        "shoal build prune --filter until=24h",
    ),
)
@click.option(
    "-f",
    "--file",
    type=click.Path(allow_dash=True),
    default="",
    metavar="FILE",
    help="The Dockerfile (default: Dockerfile in the context); - for STDIN.",
)
@build_options(COMPLETIONS)
@click.option("--check", is_flag=True, help="Only check the Dockerfile.")
@click.option("--iidfile", type=click.Path(path_type=Path), metavar="FILE", help="Write the image's ID to FILE.")
@click.option(
    "--metadata-file", type=click.Path(path_type=Path), metavar="FILE", help="Write ID, digest and names to FILE."
)
@no_cache_option
@progress_option
@pull_option
@click.option("--push", is_flag=True, help="Push the image to the registries of its names.")
@click.option("-q", "--quiet", is_flag=True, help="Only print the image's ID.")
@registries_option
@click.argument("context", metavar="PATH|URL|-", shell_complete=contexts)
@click.pass_context
@pass_client
def build(
    client: Client,
    ctx: click.Context,
    *,
    context: str,
    file: str,
    check: bool,
    iidfile: Path | None,
    metadata_file: Path | None,
    no_cache: bool,
    progress: str,
    pull: bool,
    push: bool,
    quiet: bool,
    registries: Path | None,
    **given: Any,
) -> None:
    """Build an image from a Dockerfile, on a node of the cluster.

    The image is in the cluster's image repository afterwards, so that every node has it at once, and so is the cache of
    its steps. `shoal build du` shows what nodes keep of builds, `shoal build prune` deletes it.
    """
    faults = FaultCollector()
    draft = draft_of(given, os.environ, faults)
    secrets = read_secrets(draft, faults)
    faults.raise_faults()
    check = check or draft.start.check_only
    draft.start.no_cache, draft.start.pull, draft.start.check_only = no_cache, pull, check
    apply_output(draft, push=push)
    source, settings = choose_source(context, file), settings_of(ctx, registries)
    local = prepare(
        draft.start, source, settings, secrets=secrets, directories=draft.directories, ssh_agents=draft.ssh_agents
    )
    save = saver(draft.output) if draft.output is not None and not check else None
    mode = Mode.QUIET if quiet or check else chosen_mode(progress)
    files = BuildFiles(iidfile, metadata_file)
    if len(draft.platforms) > 1 and not check:
        check_platforms(draft.start, source)
        build_platforms(client, local, draft.platforms, mode, files, settings, quiet=quiet)
    else:
        execute(client, local, mode, save, files, quiet=quiet)


def apply_output(draft: BuildDraft, *, push: bool) -> None:
    """What `--output` and `--push` say.

    Raises:
        InvalidInput: what is pushed has no name, or is no image.
    """
    output, start = draft.output or BuildOutputOption("image"), draft.start
    for name in output.names:
        reference = str(parse(name).with_default_tag())
        if reference not in start.names:
            start.names.append(reference)
    start.output = output_kind(output)
    start.media_types, start.compression = output.media_types, output.compression
    start.compression_level = output.compression_level
    if not push and not output.push:
        return
    if start.output != BuildStart.IMAGE:
        raise InvalidInput(f"--push: cannot be combined with --output type={output.kind}")
    if not start.names:
        raise InvalidInput("--push: the image has no name; give it one with --tag")
    start.push.extend(start.names)


def read_secrets(draft: BuildDraft, faults: FaultCollector) -> dict[str, bytes]:
    """The values of `--secret`."""
    values = {}
    for identifier, secret in draft.secrets.items():
        with faults.flag("--secret"):
            values[identifier] = secret_value(secret, draft.environment)
    return values
