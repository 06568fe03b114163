"""`shoal volume …`."""

import time

import click

from cli.client import Client
from cli.commands.common.common_options import examples, format_option, inspect_format_option, pass_client, quiet_option
from cli.commands.common.file_commands import parse_labels
from cli.commands.common.for_each import for_each
from cli.commands.common.inspect_objects import inspect_each
from cli.commands.common.listing_options import filter_option, ignored_no_trunc_option
from cli.commands.common.name_completion import names_of
from cli.commands.volume_listing import COLUMNS, row
from cli.commands.volume_move import move
from cli.fields.row_fields import VOLUMES as NAMES
from cli.flags.csi_volume_options import reject_unsupported_options
from cli.flags.fault_collector import FaultCollector
from cli.go_template.template_values import FieldRecord
from cli.render.documents import to_document
from cli.render.error_lines import warn
from cli.render.table import print_listing
from shoal.api.v1.control_pb2 import (
    CreateVolumeRequest,
    GetVolumeRequest,
    ListVolumesRequest,
    PruneVolumesRequest,
    RemoveVolumeRequest,
    VolumeView,
)
from shoal.api.v1.volume_pb2 import ACCESS_MODE_UNSPECIFIED, VolumeSpec
from shoal.errors import InvalidInput, Timeout, Unavailable
from shoal.filters.volume_filters import VOLUMES
from shoal.spec_parsers.go_booleans import GO_BOOLEANS
from shoal.spec_parsers.units import parse_bytes
from shoal.spec_parsers.volume_parser import ACCESS_MODES, parse_secret

SIZE_SECONDS = 40.0
"""For nodes to count what is on their disks."""
CREATE_SECONDS = 60.0
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
    help="Volume driver: local (default) or a CSI driver of a node.",
)
@click.option(
    *("-o", "--opt"), multiple=True, metavar="NAME=VALUE", help="Driver-specific options (local: type, o, device)."
)
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="Set a label on the volume.")
@click.option("--size", "--required-bytes", metavar="BYTES", help="Minimum size, such as 20G (CSI only).")
@click.option("--limit-bytes", metavar="BYTES", help="Maximum size (CSI only).")
@click.option("--access-mode", type=click.Choice(list(ACCESS_MODES)), help="Access mode (CSI only).")
@click.option("--secret", multiple=True, metavar="KEY=SECRET", help="Pass a secret to the CSI driver under KEY.")
@click.option("--detach", is_flag=True, help="Exit immediately instead of waiting for the driver.")
@reject_unsupported_options
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
    """Create a volume.

    A local volume is a directory that each node creates when a task first uses it. A CSI volume is created immediately;
    if its driver fails, the error is displayed and creation is retried until you remove the volume.
    """
    spec, collector = VolumeSpec(name=name, driver=driver), FaultCollector()
    spec.access_mode = ACCESS_MODES[access_mode] if access_mode else ACCESS_MODE_UNSPECIFIED
    with collector.flag("--opt"):
        spec.options.update(parse_labels(opt))
    with collector.flag("--label"):
        spec.labels.update(parse_labels(label))
    with collector.flag("--size"):
        spec.size_bytes = parse_bytes(size) if size else 0
    with collector.flag("--limit-bytes"):
        spec.limit_bytes = parse_bytes(limit_bytes) if limit_bytes else 0
    for text in secret:
        with collector.flag("--secret"):
            spec.secrets.append(parse_secret(text))
    collector.raise_faults()
    view = client.call(client.control.CreateVolume, CreateVolumeRequest(spec=spec))
    if view.volume.spec.driver != "local" and not detach:
        _wait_for_driver(client, view.volume.meta.id, name)
    click.echo(view.volume.meta.id)


def _wait_for_driver(client: Client, volume: str, name: str) -> None:
    """Until the driver has made it.

    Raises:
        Unavailable: the driver has reported why not. Timeout: it has reported nothing.
    """
    deadline = time.monotonic() + CREATE_SECONDS
    while time.monotonic() < deadline:
        status = client.call(client.control.GetVolume, GetVolumeRequest(volume=volume)).status
        if status.driver_volume_id:
            return
        if status.problem:
            raise Unavailable(f'volume "{name}" is not created yet: {status.problem}; retrying in the background')
        time.sleep(POLL_SECONDS)
    raise Timeout(f'volume "{name}" was not created within {CREATE_SECONDS:.0f} s; check `shoal volume inspect {name}`')


@command.command(
    "ls",
    epilog=examples("shoal volume ls", "shoal volume ls --size", "shoal volume ls --filter dangling=true -q"),
)
@click.option("-s", "--size", "sizes", is_flag=True, help="Display the disk usage of each volume (queries all nodes).")
@filter_option(VOLUMES)
@format_option
@quiet_option
@ignored_no_trunc_option
@pass_client
def list_volumes(client: Client, *, filters: tuple[str, ...], form: str, quiet: bool, sizes: bool) -> None:
    """List volumes.

    HOME is the node that a local volume binds its task to; a per-slot volume has one for each slot. NODES are all nodes
    that hold data of the volume: data on other nodes than HOME was left behind, or belongs to a service with several
    replicas. MOVE is the progress of a volume that is being moved.
    """
    keeps = VOLUMES.parse(filters)
    answer = client.call(client.control.ListVolumes, ListVolumesRequest(include_sizes=sizes), seconds=SIZE_SECONDS)
    rows = [row(view) for view in answer.volumes if keeps(view)]
    columns = [*COLUMNS[:6], *(["size"] if sizes else []), *COLUMNS[6:]]
    if any(each["moves"] for each in rows):
        columns.insert(columns.index("home") + 1, "move")
    print_listing(rows, columns, form=form, quiet="id" if quiet else None, names=NAMES)
    warn(*answer.warnings)


@command.command("inspect", epilog=examples("shoal volume inspect data"))
@inspect_format_option
@click.argument("volumes", nargs=-1, required=True, shell_complete=names_of("volume"))
@pass_client
def inspect(client: Client, *, volumes: tuple[str, ...], form: str) -> None:
    """Display detailed information on one or more volumes."""

    def get(volume: str) -> VolumeView:
        return client.call(client.control.GetVolume, GetVolumeRequest(volume=volume))

    def fields(view: VolumeView) -> FieldRecord:
        from cli.fields.resource_fields import volume_fields

        return volume_fields(view)

    inspect_each(volumes, get, form=form, document=to_document, fields=fields)


@command.command("rm", epilog=examples("shoal volume rm data", "shoal volume rm --force data"))
@click.option("-f", "--force", is_flag=True, help="Remove a CSI volume even if its driver has not deleted it.")
@click.argument("volumes", nargs=-1, required=True, shell_complete=names_of("volume"))
@pass_client
def remove(client: Client, *, volumes: tuple[str, ...], force: bool) -> None:
    """Remove one or more volumes and their data on all nodes. A volume in use cannot be removed."""

    def remove_one(volume: str) -> None:
        answer = client.call(client.control.RemoveVolume, RemoveVolumeRequest(volume=volume, force=force))
        click.echo(volume)
        warn(*answer.warnings)

    for_each(volumes, remove_one).exit_if_failed()


def _label_filters(_: click.Context, __: click.Parameter, filters: tuple[str, ...]) -> tuple[str, ...]:
    """The labels that `--filter` asks for. Docker's `all=false` would spare volumes with a name: none is pruned by it.

    Raises:
        InvalidInput: another filter.
    """
    labels = []
    for text in filters:
        key, sign, value = text.partition("=")
        if key == "all" and not GO_BOOLEANS.get(value):
            raise InvalidInput(f"--filter: {text!r} is not supported: only named volumes can be pruned")
        if key not in ("label", "all") or not sign:
            raise InvalidInput(f"--filter: {text!r} must be in the form label=NAME[=VALUE]")
        labels += [value] if key == "label" else []
    return tuple(labels)


@command.command("prune", epilog=examples("shoal volume prune", "shoal volume prune --force --label tier=test"))
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation.")
@click.option("--label", default="", metavar="NAME[=VALUE]", help="Only prune volumes with this label.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_label_filters,
    help="Filter: label=NAME[=VALUE].",
)
@click.option("-a", "--all", is_flag=True, hidden=True, expose_value=False, help="The default.")
@pass_client
def prune(client: Client, *, force: bool, label: str, filters: tuple[str, ...]) -> None:
    """Remove all unused volumes and their data on all nodes."""
    labels = {label, *filters} - {""}
    if len(labels) > 1:
        raise InvalidInput("--filter: only one label is supported")
    if not force:
        click.confirm("This will remove all unused volumes and their data. Continue?", abort=True)
    answer = client.call(client.control.PruneVolumes, PruneVolumesRequest(label="".join(labels)))
    for name in answer.names:
        click.echo(name)
    number = len(answer.names)
    click.echo(f"{number or 'no'} volume{'' if number == 1 else 's'} removed", err=True)
    warn(*answer.warnings)
