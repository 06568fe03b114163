"""Rows of `shoal volume ls`, and the states of volumes."""

from collections.abc import Iterator

from cli.render.move_progress import move_fields, move_line
from shoal.api.v1.control_pb2 import VolumeLocation, VolumeView
from shoal.api.v1.volume_pb2 import VolumePublication
from shoal.unit_formats import size

COLUMNS = ("id", "name", "driver", "state", "home", "nodes", "services", "problem")


def row(view: VolumeView) -> dict[str, object]:
    """A row of the listing."""
    return {
        "id": view.volume.meta.id,
        "name": view.volume.spec.name,
        "driver": view.volume.spec.driver,
        "state": state(view),
        "home": ", ".join(_homes(view)),
        "move": ", ".join(map(move_line, view.moves)),
        "nodes": ", ".join(map(location_text, view.locations)),
        "size": _size(view),
        "services": ", ".join(view.services),
        "problem": view.status.problem or next((each.problem for each in view.locations if each.problem), ""),
        "labels": dict(view.volume.spec.labels),
        "locations": [_location_fields(each) for each in view.locations],
        "moves": [move_fields(each) for each in view.moves],
    }


def _homes(view: VolumeView) -> Iterator[str]:
    """ "h1", of a volume per slot "2: h1"."""
    for each in view.locations:
        if each.home:
            yield f"{each.slot}: {each.hostname}" if each.slot else each.hostname


def _size(view: VolumeView) -> str:
    """On all nodes together; empty when it is not known of any."""
    known = [each.used_bytes for each in view.locations if each.HasField("used_bytes")]
    return size(sum(known)) if known else ""


def _location_fields(where: VolumeLocation) -> dict[str, object]:
    """A location, for JSON and templates."""
    return {
        "node": where.hostname,
        "slot": where.slot,
        "home": where.home,
        "state": _publication_state(where),
        "down": where.down,
        "used_bytes": where.used_bytes if where.HasField("used_bytes") else None,
    }


def state(view: VolumeView) -> str:
    """ "present"; "moving" to another node; "creating" until its driver has made it; "removing"."""
    if view.volume.removing:
        return "removing"
    if view.moves:
        return "moving"
    is_made = view.volume.spec.driver in ("", "local") or view.status.driver_volume_id
    return "present" if is_made else "creating"


def location_text(where: VolumeLocation) -> str:
    """ "h1", "h1 (slot 3)", "h1 (down)", or the state of a CSI volume there: "h1 (mounting)"."""
    about = [f"slot {where.slot}"] if where.slot else []
    about += ["down"] if where.down else []
    about += [_publication_state(where)] if _publication_state(where) not in ("", "mounted") else []
    return f"{where.hostname} ({', '.join(about)})" if about else where.hostname


def _publication_state(where: VolumeLocation) -> str:
    """The state of a CSI volume on the node; empty for a local one."""
    if where.publication_state == VolumePublication.READY and where.mounted:
        return "mounted"
    return _PUBLICATION_STATES.get(where.publication_state, "unknown") if where.publication_state else ""


_PUBLICATION_STATES: dict[int, str] = {
    VolumePublication.WAITING: "waiting",
    VolumePublication.ATTACHING: "attaching",
    VolumePublication.READY: "mounting",
    VolumePublication.RELEASING: "releasing",
}
