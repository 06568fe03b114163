"""`shoal volume …`."""

import click

from cli.client import Client
from cli.commands.arguments import examples, format_option, pass_client, quiet_option
from cli.commands.complete import names_of
from cli.commands.each import for_each, inspect_each
from cli.commands.files import labels
from cli.render.structure import to_document
from cli.render.table import show
from shoal.api.v1.control_pb2 import (
    CreateVolumeRequest,
    GetVolumeRequest,
    ListVolumesRequest,
    PruneVolumesRequest,
    RemoveVolumeRequest,
    VolumePlace,
    VolumeView,
)
from shoal.api.v1.volume_pb2 import VolumeSpec

COLUMNS = ("id", "name", "driver", "state", "nodes", "services")
EXAMPLES = """\b
Examples:
  shoal volume create data
  shoal volume create --opt type=nfs --opt o=addr=10.0.0.9,rw --opt device=:/srv/data shared
"""


@click.group("volume")
def command() -> None:
    """Manage volumes."""


@command.command("create", epilog=EXAMPLES)
@click.option("--driver", default="local", help="local (default), the only one.")
@click.option("--opt", multiple=True, metavar="NAME=VALUE", help="Option of the driver: type, o, device, as mount(8).")
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="Label the volume.")
@click.argument("name")
@pass_client
def create(client: Client, *, name: str, driver: str, opt: tuple[str, ...], label: tuple[str, ...]) -> None:
    """Make the volume NAME; nodes make its directory when a task needs it."""
    spec = VolumeSpec(name=name, driver=driver, options=labels("--opt", opt), labels=labels("--label", label))
    click.echo(client.call(client.control.CreateVolume, CreateVolumeRequest(spec=spec)).volume.meta.id)


@command.command("ls", epilog=examples("shoal volume ls", "shoal volume ls --format json"))
@format_option
@quiet_option
@pass_client
def list_volumes(client: Client, *, form: str, quiet: bool) -> None:
    """List volumes."""
    views = client.call(client.control.ListVolumes, ListVolumesRequest()).volumes
    show([row(view) for view in views], COLUMNS, form=form, quiet="id" if quiet else None)


def row(view: VolumeView) -> dict[str, object]:
    """A row of the listing."""
    return {
        "id": view.volume.meta.id,
        "name": view.volume.spec.name,
        "driver": view.volume.spec.driver,
        "state": "removing" if view.volume.removing else "present",
        "nodes": ", ".join(map(place, view.places)),
        "services": ", ".join(view.services),
    }


def place(where: VolumePlace) -> str:
    """ "h1", or "h1 (slot 3)"."""
    return f"{where.hostname} (slot {where.slot})" if where.slot else where.hostname


@command.command("inspect", epilog=examples("shoal volume inspect data"))
@format_option
@click.argument("volumes", nargs=-1, required=True, shell_complete=names_of("volume"))
@pass_client
def inspect(client: Client, *, volumes: tuple[str, ...], form: str) -> None:
    """Show everything about VOLUMES."""

    def look(volume: str) -> dict[str, object]:
        return to_document(client.call(client.control.GetVolume, GetVolumeRequest(volume=volume)))

    inspect_each(volumes, look, form=form)


@command.command("rm", epilog=examples("shoal volume rm data", "shoal volume rm data cache"))
@click.argument("volumes", nargs=-1, required=True, shell_complete=names_of("volume"))
@pass_client
def remove(client: Client, *, volumes: tuple[str, ...]) -> None:
    """Remove VOLUMES that no service uses, with their data on every node."""

    def remove_one(volume: str) -> None:
        client.call(client.control.RemoveVolume, RemoveVolumeRequest(volume=volume))
        click.echo(volume)

    for_each(volumes, remove_one).settle()


@command.command("prune", epilog=examples("shoal volume prune", "shoal volume prune --force --label tier=test"))
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--label", default="", metavar="NAME[=VALUE]", help="Only volumes with this label.")
@pass_client
def prune(client: Client, *, force: bool, label: str) -> None:
    """Remove every volume that no service uses, with their data on every node."""
    if not force:
        click.confirm("Delete the data of all volumes that no service uses?", abort=True)
    for name in client.call(client.control.PruneVolumes, PruneVolumesRequest(label=label)).names:
        click.echo(name)
