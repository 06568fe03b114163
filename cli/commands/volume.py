"""`shoal volume …`."""

import time
from collections.abc import Iterator

import click

from cli.client import Client
from cli.commands.arguments import examples, format_option, inspect_format_option, pass_client, quiet_option
from cli.commands.complete import names_of
from cli.commands.each import for_each
from cli.commands.files import labels
from cli.commands.formats import filtered, uncut_option
from cli.commands.inspect import inspect_each
from cli.commands.volume_move import move
from cli.fields.rows import VOLUMES as NAMES
from cli.flags.gathered import Gathered
from cli.flags.volumes import ACCESS_MODES, parse_secret, refuse_what_docker_has
from cli.go_template.values import Record
from cli.render.failure import warn
from cli.render.move import move_fields, move_line
from cli.render.structure import to_document
from cli.render.table import show
from cli.render.units import parse_bytes
from cli.switches import BOOLEANS
from shoal.amounts import size
from shoal.api.v1.control_pb2 import (
    CreateVolumeRequest,
    GetVolumeRequest,
    ListVolumesRequest,
    PruneVolumesRequest,
    RemoveVolumeRequest,
    VolumePlace,
    VolumeView,
)
from shoal.api.v1.volume_pb2 import ACCESS_MODE_UNSPECIFIED, VolumePublication, VolumeSpec
from shoal.errors import InvalidInput, Timeout, Unavailable
from shoal.filters.volumes import VOLUMES

COLUMNS = ("id", "name", "driver", "state", "home", "nodes", "services", "problem")
SIZE_SECONDS = 40.0
"""For nodes to count what is on their disks."""
MADE_SECONDS = 60.0
"""How long `create` waits for a driver."""

POLL_SECONDS = 0.1
EXAMPLES = """\b
Examples:
  shoal volume create data
  shoal volume create --opt type=nfs --opt o=addr=10.0.0.9,rw --opt device=:/srv/data shared
  shoal volume create --driver ebs.csi.aws.com --opt type=gp3 --size 20G data
  shoal volume create --driver smb.csi.k8s.io --secret username=smb_user --secret password=smb_pw files
  shoal volume create --driver nfs.csi.k8s.io --access-mode multi-node-multi-writer shared
"""


@click.group("volume")
def command() -> None:
    """Manage volumes."""


command.add_command(move)


@command.command("create", epilog=EXAMPLES)
@click.option(
    "-d",
    "--driver",
    default="local",
    shell_complete=names_of("driver"),
    help="local (default), or a CSI driver that a node has.",
)
@click.option(
    *("-o", "--opt"), multiple=True, metavar="NAME=VALUE", help="Of local: type, o, device, as mount(8); else its own."
)
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="Label the volume.")
@click.option("--size", "--required-bytes", metavar="BYTES", help="At least so large (20G); for a CSI driver.")
@click.option("--limit-bytes", metavar="BYTES", help="At most so large; for a CSI driver.")
@click.option("--access-mode", type=click.Choice(list(ACCESS_MODES)), help="For a CSI driver.")
@click.option(
    "--secret", multiple=True, metavar="KEY=SECRET", help="Give the CSI driver the secret under this key, at each call."
)
@click.option("--detach", is_flag=True, help="Do not wait until the driver has made it.")
@refuse_what_docker_has
@click.argument("name")
@pass_client
def create(
    client: Client,
    *,
    name: str,
    driver: str,
    opt: tuple[str, ...],
    label: tuple[str, ...],
    size: str | None,
    limit_bytes: str | None,
    access_mode: str | None,
    secret: tuple[str, ...],
    detach: bool,
) -> None:
    """Make the volume NAME.

    A local one is a directory that each node makes when a task needs it. One of a CSI driver is made at once, and what
    the driver says against it is told; it is asked again until the volume is removed.
    """
    spec, gathered = VolumeSpec(name=name, driver=driver), Gathered()
    spec.access_mode = ACCESS_MODES[access_mode] if access_mode else ACCESS_MODE_UNSPECIFIED
    with gathered:
        spec.options.update(labels("--opt", opt))
    with gathered:
        spec.labels.update(labels("--label", label))
    with gathered:
        spec.size_bytes = parse_bytes(size) if size else 0
    with gathered:
        spec.limit_bytes = parse_bytes(limit_bytes) if limit_bytes else 0
    for text in secret:
        with gathered:
            spec.secrets.append(parse_secret(text))
    gathered.settle()
    view = client.call(client.control.CreateVolume, CreateVolumeRequest(spec=spec))
    if view.volume.spec.driver != "local" and not detach:
        _await_driver(client, view.volume.meta.id, name)
    click.echo(view.volume.meta.id)


def _await_driver(client: Client, volume: str, name: str) -> None:
    """Until the driver has made it.

    Raises:
        Unavailable: the driver says why not. Timeout: it says nothing.
    """
    deadline = time.monotonic() + MADE_SECONDS
    while time.monotonic() < deadline:
        status = client.call(client.control.GetVolume, GetVolumeRequest(volume=volume)).status
        if status.driver_volume_id:
            return
        if status.problem:
            raise Unavailable(f'volume "{name}" is not made yet: {status.problem}; the driver is asked again')
        time.sleep(POLL_SECONDS)
    raise Timeout(f'volume "{name}" is not made yet after {MADE_SECONDS:.0f} s; see `shoal volume inspect {name}`')


@command.command(
    "ls",
    epilog=examples("shoal volume ls", "shoal volume ls --size", "shoal volume ls --filter dangling=true -q"),
)
@click.option("-s", "--size", "sizes", is_flag=True, help="Ask the nodes how much each volume takes on their disks.")
@filtered(VOLUMES)
@format_option
@quiet_option
@uncut_option
@pass_client
def list_volumes(client: Client, *, filters: tuple[str, ...], form: str, quiet: bool, sizes: bool) -> None:
    """List volumes.

    HOME is the node where a local volume keeps its task: of a volume per slot, each slot's. NODES have data of it: that
    of another node than the home was left behind there, or is of a service with several replicas. While volumes are
    moved, MOVE says from where to where, and how far.
    """
    keeps = VOLUMES.parse(filters)
    answer = client.call(client.control.ListVolumes, ListVolumesRequest(sizes=sizes), seconds=SIZE_SECONDS)
    rows = [row(view) for view in answer.volumes if keeps(view)]
    columns = [*COLUMNS[:6], *(["size"] if sizes else []), *COLUMNS[6:]]
    if any(each["moves"] for each in rows):
        columns.insert(columns.index("home") + 1, "move")
    show(rows, columns, form=form, quiet="id" if quiet else None, names=NAMES)
    warn(*answer.warnings)


def row(view: VolumeView) -> dict[str, object]:
    """A row of the listing."""
    return {
        "id": view.volume.meta.id,
        "name": view.volume.spec.name,
        "driver": view.volume.spec.driver,
        "state": state(view),
        "home": ", ".join(_homes(view)),
        "move": ", ".join(map(move_line, view.moving)),
        "nodes": ", ".join(map(place, view.places)),
        "size": _size(view),
        "services": ", ".join(view.services),
        "problem": view.status.problem or next((each.problem for each in view.places if each.problem), ""),
        "labels": dict(view.volume.spec.labels),
        "places": [_bare(each) for each in view.places],
        "moves": [move_fields(each) for each in view.moving],
    }


def _homes(view: VolumeView) -> Iterator[str]:
    """ "h1", of a volume per slot "2: h1"."""
    for each in view.places:
        if each.home:
            yield f"{each.slot}: {each.hostname}" if each.slot else each.hostname


def _size(view: VolumeView) -> str:
    """On all nodes together; empty when it is not known of any."""
    known = [each.bytes for each in view.places if each.HasField("bytes")]
    return size(sum(known)) if known else ""


def _bare(where: VolumePlace) -> dict[str, object]:
    """A place for programs."""
    return {
        "node": where.hostname,
        "slot": where.slot,
        "home": where.home,
        "state": _progress(where),
        "down": where.down,
        "bytes": where.bytes if where.HasField("bytes") else None,
    }


def state(view: VolumeView) -> str:
    """ "present"; "moving" to another node; "creating" until its driver has made it; "removing"."""
    if view.volume.removing:
        return "removing"
    if view.moving:
        return "moving"
    is_made = view.volume.spec.driver in ("", "local") or view.status.driver_volume_id
    return "present" if is_made else "creating"


def place(where: VolumePlace) -> str:
    """ "h1", "h1 (slot 3)", "h1 (down)", or how far a driver's volume is there: "h1 (mounting)"."""
    about = [f"slot {where.slot}"] if where.slot else []
    about += ["down"] if where.down else []
    about += [_progress(where)] if _progress(where) not in ("", "mounted") else []
    return f"{where.hostname} ({', '.join(about)})" if about else where.hostname


def _progress(where: VolumePlace) -> str:
    """How far a volume of a driver is there; empty for a local one."""
    if where.publication == VolumePublication.READY and where.mounted:
        return "mounted"
    return _WORDS.get(where.publication, "unknown") if where.publication else ""


_WORDS: dict[int, str] = {
    VolumePublication.WAITING: "waiting",
    VolumePublication.ATTACHING: "attaching",
    VolumePublication.READY: "mounting",
    VolumePublication.WITHDRAWN: "leaving",
}


@command.command("inspect", epilog=examples("shoal volume inspect data"))
@inspect_format_option
@click.argument("volumes", nargs=-1, required=True, shell_complete=names_of("volume"))
@pass_client
def inspect(client: Client, *, volumes: tuple[str, ...], form: str) -> None:
    """Show everything about VOLUMES."""

    def get(volume: str) -> VolumeView:
        return client.call(client.control.GetVolume, GetVolumeRequest(volume=volume))

    def fields(view: VolumeView) -> Record:
        from cli.fields.others import volume_fields

        return volume_fields(view)

    inspect_each(volumes, get, form=form, document=to_document, fields=fields)


@command.command("rm", epilog=examples("shoal volume rm data", "shoal volume rm --force data"))
@click.option("-f", "--force", is_flag=True, help="Remove a CSI driver's volume though the driver has not deleted it.")
@click.argument("volumes", nargs=-1, required=True, shell_complete=names_of("volume"))
@pass_client
def remove(client: Client, *, volumes: tuple[str, ...], force: bool) -> None:
    """Remove VOLUMES that no service uses, with their data on every node."""

    def remove_one(volume: str) -> None:
        answer = client.call(client.control.RemoveVolume, RemoveVolumeRequest(volume=volume, force=force))
        click.echo(volume)
        warn(*answer.warnings)

    for_each(volumes, remove_one).settle()


def _labels(_: click.Context, __: click.Parameter, filters: tuple[str, ...]) -> tuple[str, ...]:
    """The labels that `--filter` asks for. Docker's `all=false` would spare volumes with a name: none is pruned by it.

    Raises:
        InvalidInput: another filter.
    """
    labels = []
    for text in filters:
        key, sign, value = text.partition("=")
        if key == "all" and not BOOLEANS.get(value):
            raise InvalidInput(f"--filter: {text!r} is not supported: what is pruned are volumes with a name")
        if key not in ("label", "all") or not sign:
            raise InvalidInput(f"--filter: {text!r} is not label=NAME or label=NAME=VALUE")
        labels += [value] if key == "label" else []
    return tuple(labels)


@command.command("prune", epilog=examples("shoal volume prune", "shoal volume prune --force --label tier=test"))
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--label", default="", metavar="NAME[=VALUE]", help="Only volumes with this label.")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", callback=_labels, help="label=NAME[=VALUE], as --label."
)
@click.option("-a", "--all", is_flag=True, hidden=True, expose_value=False, help="The default.")
@pass_client
def prune(client: Client, *, force: bool, label: str, filters: tuple[str, ...]) -> None:
    """Remove every volume that no service uses, with their data on every node."""
    labels = {label, *filters} - {""}
    if len(labels) > 1:
        raise InvalidInput("--filter: one label can be given")
    if not force:
        click.confirm("Delete the data of all volumes that no service uses?", abort=True)
    answer = client.call(client.control.PruneVolumes, PruneVolumesRequest(label="".join(labels)))
    for name in answer.names:
        click.echo(name)
    number = len(answer.names)
    click.echo(f"{number or 'no'} volume{'' if number == 1 else 's'} removed", err=True)
    warn(*answer.warnings)
