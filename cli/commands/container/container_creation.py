"""What `create` and `run` do before a container is started: its request of the flags, its image, the call."""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from cli.client import Client
from cli.commands.common.name_completion import names_of
from cli.commands.common.submit import submit
from cli.commands.container.container_calls import containers
from cli.commands.container.image_presence import (
    PULL_POLICIES,
    exposed_ports,
    present_image,
    reference_of,
)
from cli.flags.container.container_draft import ContainerDraft
from cli.flags.container.container_fault_flags import faults_by_container_flag
from cli.flags.container.container_options import Command, container_options, draft_of, is_text
from cli.render.error_lines import warn
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.engine_pb2 import ContainerView, CreateContainerRequest, GetContainerRequest, RemoveContainerRequest
from shoal.api.v1.standalone_pb2 import ContainerDefinition, Image
from shoal.errors import Fault, InvalidInput, NotFound
from shoal.image_reference import parse
from shoal.spec_parsers.exposed_ports import publish_all


def creation_options(command: Command) -> Command:
    """The flags that `create` and `run` share, with IMAGE and COMMAND."""
    for add in reversed(
        (
            container_options(names_of),
            click.option(
                "--pull",
                type=click.Choice(PULL_POLICIES),
                default="missing",
                help="Pull the image into the cluster before running (default missing).",
            ),
            click.option("-a", "--attach", multiple=True, metavar="STREAM", help="Attach to STDIN, STDOUT or STDERR."),
            click.option("-q", "--quiet", is_flag=True, help="Suppress the pull output."),
            click.option(
                "--cidfile", metavar="FILE", type=click.Path(path_type=Path), help="Write the ID to the file."
            ),
            click.argument("image", shell_complete=names_of("image")),
            click.argument("command", nargs=-1, type=click.UNPROCESSED),
        )
    ):
        command = add(command)
    return command


def request_of(
    client: Client, ctx: click.Context, given: Mapping[str, Any], *, faults: Sequence[Fault] = ()
) -> CreateContainerRequest:
    """The request of the flags; the image is in the cluster then.

    Args:
        given: by click's names, those of `creation_options`.
        faults: of further flags.
    Raises:
        InvalidInput: with the faults of all flags, and what the manager says of the rest.
        ShoalError: as `present_image` does.
    """
    draft, found = draft_of(given)
    found = [*faults, *found, *_cidfile_faults(given["cidfile"]), *_text_faults(given)]
    found += _add_volumes(client, draft)
    if found:
        _raise_all(client, draft, given, found)
    _set_image(client, ctx, draft, given)
    return draft.finished()


def _raise_all(client: Client, draft: ContainerDraft, given: Mapping[str, Any], faults: Sequence[Fault]) -> NoReturn:
    """Raises InvalidInput, with what the manager says of what is right so far."""
    draft.spec.task.container.image = given["image"] if is_text(given["image"]) else "image"
    request = draft.finished()
    request.dry_run = request.no_resolve_image = True
    submit(
        lambda: client.call(containers(client).CreateContainer, request),
        faults=faults,
        translate=faults_by_container_flag,
    )
    raise InvalidInput(faults)


def _text_faults(given: Mapping[str, Any]) -> list[Fault]:
    """Bytes of the command line that are no text, as Python carries them."""
    words = (given["image"], *given["command"])
    return [Fault("", f"{word!r} is not valid UTF-8") for word in words if not is_text(word)]


def create_container(client: Client, request: CreateContainerRequest, cidfile: Path | None) -> ContainerView:
    """Create it, and write its ID to the file.

    Raises:
        InvalidInput: with the manager's faults, by flag. ShoalError: of the manager.
    """
    with faults_by_flag():
        view = client.call(containers(client).CreateContainer, request, seconds=None)
    report_created(view, cidfile)
    return view


@contextmanager
def faults_by_flag() -> Generator[None]:
    """Raises InvalidInput with the manager's faults by flag, where the block raises it."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(faults_by_container_flag(error.faults)) from error


def report_created(view: ContainerView, cidfile: Path | None) -> None:
    """Write the ID of what was created to the file, and print the warnings."""
    if cidfile is not None:
        cidfile.write_text(container_id(view))
    warn(*view.warnings)


def remove_container(client: Client, container: str) -> None:
    """Remove what was created and never started, with its anonymous volumes."""
    request = RemoveContainerRequest(container=container, force=True, remove_volumes=True)
    client.call(containers(client).RemoveContainer, request)


def container_id(view: ContainerView) -> str:
    """Docker's form of its ID, 64 digits."""
    from shoal.container_ids import container_id as digits_of

    return digits_of(view.container.meta.id)


def _cidfile_faults(path: Path | None) -> list[Fault]:
    if path is None:
        return []
    if path.exists():
        return [Fault("", f"--cidfile: {path} exists; remove it, if its container is not needed any more")]
    if not os.access(path.parent, os.W_OK):
        return [Fault("", f"--cidfile: cannot write to {path.parent}")]
    return []


def _set_image(client: Client, ctx: click.Context, draft: ContainerDraft, given: Mapping[str, Any]) -> None:
    name, container = given["image"], draft.spec.task.container
    platform = tuple((given["platform"] or "").lower().split("/")) if given["platform"] else ()
    view = present_image(client, ctx, name, pull=given["pull"], platform=platform, quiet=given["quiet"])
    container.image = reference_of(view, name) if view is not None else name
    container.command.extend(given["command"])
    if draft.publishes_all:
        image = view.image if view is not None and view.image.variants else _unlisted_image(ctx, name)
        ports = draft.spec.endpoint.ports
        ports.extend(publish_all(ports, [*draft.exposed, *exposed_ports(image)]))


def _unlisted_image(ctx: click.Context, name: str) -> Image:
    from cli.commands.container.image_pull import unlisted_image

    return unlisted_image(ctx, parse(name).with_default_tag())


def _add_volumes(client: Client, draft: ContainerDraft) -> list[Fault]:
    """`--volumes-from`: mounts of other containers, where nothing else is mounted. Those that are not there."""
    mounts = draft.spec.task.container.mounts
    taken, faults = {mount.target for mount in mounts}, []
    for text in draft.volumes_from:
        name, _, mode = text.partition(":")
        try:
            other = client.call(containers(client).GetContainer, GetContainerRequest(container=name)).container
        except (NotFound, InvalidInput) as error:
            faults.append(Fault("", f"--volumes-from: {error}"))
            continue
        draft.request.definition.beside.append(other.meta.id)
        mounts.extend(_inherited(other.definition, taken, read_only=mode == "ro"))
    return faults


def _inherited(definition: ContainerDefinition, taken: set[str], *, read_only: bool) -> list[Mount]:
    """Its volumes and bind mounts, at targets that are not taken; they are then."""
    found = []
    for mount in definition.task.container.mounts:
        if mount.type == Mount.TMPFS or mount.target in taken:
            continue
        taken.add(mount.target)
        same = Mount(type=mount.type, source=mount.source, target=mount.target, read_only=mount.read_only or read_only)
        same.propagation, same.recursive = mount.propagation, mount.recursive
        if mount.type == Mount.VOLUME:
            same.volume.subpath, same.volume.no_copy = mount.volume.subpath, True
        found.append(same)
    return found
