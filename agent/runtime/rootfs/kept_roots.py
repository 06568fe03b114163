"""Root file systems that outlive their tasks: those of containers, each of which runs as one task after the other.

    <state>/drafts/<id>             while it is made; deleted after a crash
    <state>/containers/<c>/<id>/    complete, c being the last character of the id
        u, w, v                     the overlay's upper and work directory, anonymous volumes
        logs                        the one log over all runs, made at the first start
        root.json                   the image below it
        origin.json                 which history of the cluster knows it, see `root_origins.py`
        volumes.json                its volumes, see `volume_record.py`

A directory is in its place whole or not at all. It is made elsewhere and renamed, and goes to the trash by one rename.
Nothing here is deleted but by `KeptRoots.remove`. Blocking; call it in threads.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.runtime.container_paths import ContainerPaths
from agent.runtime.rootfs.root_origins import read_origin, replace_origin, write_first_origin
from agent.safe_paths.disk_flush import fsync_directory
from agent.worker.root_origin import UNKNOWN_ORIGIN, RootOrigin
from shoal.errors import Refused
from shoal.fault_points.injection import fault
from shoal.tree_removal import delete_trees

OnStep = Callable[[str, float], None]
"""As `agent.runtime.launch.start_steps.OnStep`."""

_RECORD = "root.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptRoot:
    """Of a root file system that is kept.

    Attributes:
        image_digest: of the manifest of the image below it, "sha256:…"; empty if its record cannot be read.
        image_reference: as the image was requested.
        layers: directories of its layers, the topmost first.
    """

    image_digest: str
    image_reference: str
    layers: tuple[str, ...] = ()


class KeptRoots:
    """The root file systems that are kept on this host; call `load` first.

    Args:
        on_step: takes the name of each completed step, from worker threads; for fault points in tests, and benchmarks.
    """

    def __init__(self, paths: ContainerPaths, on_step: OnStep) -> None:
        self._paths = paths
        self._on_step = on_step
        self._roots: dict[str, KeptRoot] = {}
        self._origins: dict[str, RootOrigin] = {}
        self._is_loaded = False

    @property
    def roots(self) -> dict[str, KeptRoot]:
        """By container id. Do not modify it."""
        return self._roots

    @property
    def origins(self) -> dict[str, RootOrigin]:
        """By container id. Do not modify it."""
        return self._origins

    def clear(self) -> None:
        """Forget them all, since their files were deleted."""
        self._roots.clear()
        self._origins.clear()

    def load(self) -> None:
        """Find them all; delete what was never complete. Nothing at later calls.

        Raises:
            OSError: the disk failed. Unavailable: a draft cannot be deleted.
        """
        if self._is_loaded:
            return
        self._is_loaded = True
        drafts = [Path(entry.path) for entry in os.scandir(self._paths.drafts)]
        if drafts:
            delete_trees(*drafts)
        places = {each: self._paths.kept_root(each) for each in self._paths.containers_with_root()}
        self._roots = {each: _read(place) for each, place in places.items()}
        self._origins = {each: read_origin(place) for each, place in places.items()}

    def make(self, container_id: str, root: KeptRoot, *, durable: bool, origin: RootOrigin = UNKNOWN_ORIGIN) -> None:
        """Make one. Idempotent; one call at a time for an id.

        Raises:
            Refused: there is one on another image. OSError: the disk failed; nothing is left.
        """
        if (known := self._roots.get(container_id)) is not None:
            _check_image(container_id, known, root)
            return
        place = self._paths.kept_root(container_id)
        if place.exists():  # an earlier call could not flush it
            _check_image(container_id, _read(place), root)
            origin = read_origin(place)
        else:
            self._put(container_id, place, root, origin, durable=durable)
        if durable:
            # Journaling file systems flush earlier operations first: the group's own name, and all of the draft.
            fsync_directory(place.parent)
            fsync_directory(self._paths.kept)
        self._roots[container_id], self._origins[container_id] = root, origin
        self._step("agent.root.durable")

    def set_origin(self, container_id: str, origin: RootOrigin) -> None:
        """Record another origin; nothing if it is not here. Raises OSError: the old one holds."""
        if container_id not in self._origins:
            return
        replace_origin(self._paths.kept_root(container_id), origin)
        self._origins[container_id] = origin
        self._on_step("root origin", 0.0)

    def remove(self, container_id: str) -> None:
        """Move it to the trash. Idempotent.

        Raises:
            OSError, Unavailable: the disk failed.
        """
        place = self._paths.kept_root(container_id)
        if place.exists():
            try:
                place.rename(self._paths.trash / f"{container_id}.{time.monotonic_ns()}")
            except OSError:  # no space for the new name, on a full disk
                delete_trees(place)
        self._step("agent.root.removed")
        self._roots.pop(container_id, None)
        self._origins.pop(container_id, None)

    def _put(self, container_id: str, place: Path, root: KeptRoot, origin: RootOrigin, *, durable: bool) -> None:
        draft = self._paths.drafts / container_id
        delete_trees(draft)
        try:
            self._fill(draft, root, origin, durable=durable)
            place.parent.mkdir(mode=0o700, exist_ok=True)
            draft.rename(place)
        except OSError:
            delete_trees(draft)
            raise
        self._step("agent.root.in-place")

    def _fill(self, draft: Path, root: KeptRoot, origin: RootOrigin, *, durable: bool) -> None:
        draft.mkdir(mode=0o700)
        self._step("agent.root.draft")
        for name in ("u", "w", "v"):
            draft.joinpath(name).mkdir()
        # The overlay's root shows the upper directory's mode and owner.
        draft.joinpath("u").chmod(0o755)
        write_first_origin(draft, origin)
        with draft.joinpath(_RECORD).open("x") as record:
            json.dump(vars(root), record)
            record.flush()
            if durable:
                os.fsync(record.fileno())
        self._step("agent.root.filled")

    def _step(self, point: str) -> None:
        """A step is complete, which is a fault point too."""
        self._on_step(point.removeprefix("agent.").replace(".", " ").replace("-", " "), 0.0)
        fault(point)


def _check_image(container_id: str, known: KeptRoot, desired: KeptRoot) -> None:
    if known.image_digest and known.image_digest != desired.image_digest:
        raise Refused(
            f"the root file system of container {container_id} is on image {known.image_digest}, "
            f"not on {desired.image_digest}: remove the container, and create it again"
        )


def _read(place: Path) -> KeptRoot:
    """Kept in any case: a damaged record must not cost the data."""
    try:
        stored = json.loads((place / _RECORD).read_bytes())
        return KeptRoot(str(stored["image_digest"]), str(stored["image_reference"]), tuple(map(str, stored["layers"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("cannot read %s: %s", place / _RECORD, error)
        return KeptRoot("", "")
