"""`shoal volume move`."""

import sys
import time

import click

from cli.client import Client
from cli.commands.arguments import examples, pass_client
from cli.commands.complete import names_of
from cli.render.failure import warn
from cli.render.move import MoveDisplay
from shoal.api.v1.control_pb2 import CancelVolumeMoveRequest, GetVolumeRequest, MoveVolumeRequest, VolumeView
from shoal.api.v1.volume_pb2 import VolumeMoveStatus
from shoal.errors import InvalidInput, Refused, Timeout, Unauthenticated, Unavailable

POLL_SECONDS = 0.3
LOOK_AGAIN_SECONDS = 1.0


@click.command(
    "move",
    epilog=examples(
        "shoal volume move data --to h2",
        "shoal volume move data --slot 3 --to h2",
        "shoal volume move --cancel data",
    ),
)
@click.option("--to", "node", metavar="NODE", help="The node that gets the data.")
@click.option("--slot", type=click.IntRange(1, 1_000_000), help="Of a volume that is there for each slot: which.")
@click.option("--replace", is_flag=True, help="Delete older data of the volume on NODE once the copy is complete.")
@click.option("--cancel", is_flag=True, help="Cancel a move; the tasks start where the data was.")
@click.option("-d", "--detach", is_flag=True, help="Do not wait until it is moved.")
@click.argument("volume", shell_complete=names_of("volume"))
@pass_client
def move(
    client: Client, *, volume: str, node: str | None, slot: int | None, replace: bool, cancel: bool, detach: bool
) -> None:
    """Move the data of a local VOLUME to another node.

    The tasks that use it are stopped, its data is copied from node to node and verified, and the tasks start on NODE.
    Until then the data stays where it is. A copy that is interrupted goes on where it was; Ctrl-C leaves the move
    going.
    """
    if cancel == bool(node):
        raise InvalidInput("say where the data goes with `--to NODE`, or cancel a move with `--cancel`")
    if cancel:
        client.call(client.control.CancelVolumeMove, CancelVolumeMoveRequest(volume=volume, slot=slot or 0))
        click.echo(f"the move of volume {volume} is cancelled; its tasks start where the data was", err=True)
        return
    request = MoveVolumeRequest(volume=volume, node=node or "", slot=slot or 0, replace=replace)
    view = client.call(client.control.MoveVolume, request)
    if not detach:
        _follow(client, view, request)


def _follow(client: Client, view: VolumeView, request: MoveVolumeRequest) -> None:
    """Until it has ended. Raises Refused when it failed, or was cancelled."""
    began_at_ms = next(move.began_at_ms for move in view.volume.moves if move.slot == request.slot)
    display = MoveDisplay(sys.stderr, time.monotonic, volume=request.volume, node=request.node)
    try:
        ended = _watch(client, view.volume.meta.id, request.slot, began_at_ms, display)
    except KeyboardInterrupt:
        display.close()
        name, extra = request.volume, f" --slot {request.slot}" if request.slot else ""
        warn(
            f"detached: the move goes on; `shoal volume move{extra} --to {request.node} {name}` shows it again, "
            f"`shoal volume move{extra} --cancel {name}` cancels it"
        )
        raise click.exceptions.Abort from None
    display.close()
    if ended.state == VolumeMoveStatus.FAILED:
        raise Refused(f"volume {request.volume} is not moved, its data is where it was: {ended.message}")
    if ended.state == VolumeMoveStatus.CANCELLED:
        raise Refused(f"the move of volume {request.volume} was cancelled; its data is where it was")
    click.echo(f"volume {request.volume} is on node {request.node}; its tasks start there", err=True)


def _watch(client: Client, volume_id: str, slot: int, began_at_ms: int, display: MoveDisplay) -> VolumeMoveStatus:
    """The end of the move; managers that are away meanwhile are waited for."""
    told = False
    while True:
        try:
            view = client.call(client.control.GetVolume, GetVolumeRequest(volume=volume_id))
        except (Unavailable, Unauthenticated, Timeout) as error:
            if not told:
                warn(f"{error}; the move goes on, and this looks again until the manager answers")
            told = True
            time.sleep(LOOK_AGAIN_SECONDS)
            continue
        for status in view.status.moves:
            if status.slot == slot and status.began_at_ms == began_at_ms:
                display.update(status)
                if status.state >= VolumeMoveStatus.DONE:
                    return status
        time.sleep(POLL_SECONDS)
