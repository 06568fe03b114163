"""`shoal volume move`."""

import sys
import time

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.render.error_lines import warn
from cli.render.move_progress import MoveDisplay
from shoal.api.v1.control_pb2 import CancelVolumeMoveRequest, GetVolumeRequest, MoveVolumeRequest, VolumeView
from shoal.api.v1.volume_pb2 import VolumeMoveStatus
from shoal.errors import InvalidInput, Refused, Timeout, Unauthenticated, Unavailable

POLL_SECONDS = 0.3
RETRY_SECONDS = 1.0


@click.command(
    "move",
    epilog=examples(
        "shoal volume move data --to h2",
        "shoal volume move data --slot 3 --to h2",
        "shoal volume move --cancel data",
    ),
)
@click.option("--to", "node", metavar="NODE", help="Destination node.")
@click.option("--slot", type=click.IntRange(1, 1_000_000), help="Slot to move, for a per-slot volume.")
@click.option("--replace", is_flag=True, help="Replace existing data of the volume on NODE.")
@click.option("--cancel", is_flag=True, help="Cancel a move; tasks start on the source node.")
@click.option("-d", "--detach", is_flag=True, help="Exit immediately instead of waiting for the move.")
@click.argument("volume", shell_complete=names_of("volume"))
@pass_client
def move(
    client: Client, *, volume: str, node: str | None, slot: int | None, replace: bool, cancel: bool, detach: bool
) -> None:
    """Move the data of a local volume to another node.

    Tasks that use the volume are stopped, the data is copied and verified, and the tasks start on NODE. The source
    keeps its data until then. An interrupted copy resumes where it stopped. Ctrl-C detaches; the move continues in the
    background.
    """
    if cancel == bool(node):
        raise InvalidInput("specify either --to NODE or --cancel")
    if cancel:
        client.call(client.control.CancelVolumeMove, CancelVolumeMoveRequest(volume=volume, slot=slot or 0))
        click.echo(f"move of volume {volume} cancelled; its tasks start on the source node", err=True)
        return
    request = MoveVolumeRequest(volume=volume, node=node or "", slot=slot or 0, replace=replace)
    view = client.call(client.control.MoveVolume, request)
    if not detach:
        _follow(client, view, request)


def _follow(client: Client, view: VolumeView, request: MoveVolumeRequest) -> None:
    """Until it has ended. Raises Refused when it failed, or was cancelled."""
    began_at_ms = next(move.started_at_ms for move in view.volume.moves if move.slot == request.slot)
    display = MoveDisplay(sys.stderr, time.monotonic, volume=request.volume, node=request.node)
    try:
        ended = _watch(client, view.volume.meta.id, request.slot, began_at_ms, display)
    except KeyboardInterrupt:
        display.close()
        name, extra = request.volume, f" --slot {request.slot}" if request.slot else ""
        warn(
            f"detached: the move continues in the background; follow it with `shoal volume move{extra} --to "
            f"{request.node} {name}` or cancel it with `shoal volume move{extra} --cancel {name}`"
        )
        raise click.exceptions.Abort from None
    display.close()
    if ended.state == VolumeMoveStatus.FAILED:
        raise Refused(f"volume {request.volume} was not moved; its data is still on the source node: {ended.message}")
    if ended.state == VolumeMoveStatus.CANCELLED:
        raise Refused(f"move of volume {request.volume} cancelled; its data is still on the source node")
    click.echo(f"volume {request.volume} moved to node {request.node}; its tasks start there", err=True)


def _watch(client: Client, volume_id: str, slot: int, began_at_ms: int, display: MoveDisplay) -> VolumeMoveStatus:
    """The end of the move; managers that are away meanwhile are waited for."""
    warned = False
    while True:
        try:
            view = client.call(client.control.GetVolume, GetVolumeRequest(volume=volume_id))
        except (Unavailable, Unauthenticated, Timeout) as error:
            if not warned:
                warn(f"{error}; the move continues; retrying until a manager responds")
            warned = True
            time.sleep(RETRY_SECONDS)
            continue
        for status in view.status.moves:
            if status.slot == slot and status.started_at_ms == began_at_ms:
                display.update(status)
                if status.state >= VolumeMoveStatus.DONE:
                    return status
        time.sleep(POLL_SECONDS)
