"""From a spec as the user sent it to the one that is stored: checked, networks as ids, the image pinned."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from manager.control_api import container_names, file_uses, host_programs, mesh, network_uses, volume_uses
from manager.control_api.neighbours import ALONE, Neighbours
from manager.control_api.seams import ImageResolver
from manager.control_api.validate_balance import balance_warnings
from manager.control_api.validate_placement import placement_warnings
from manager.control_api.validate_ports import port_warnings
from manager.control_api.validate_service import check_service
from manager.store.tables import View
from shoal import image_reference
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.distribution.manifests import Platform
from shoal.errors import Fault, InvalidInput, NotFound, PermissionDenied, ShoalError, Unauthenticated

IMAGE_SECONDS = 15
"""How long a submission waits for a registry before it is refused."""

WITHOUT_LOOKUP = "without asking the registry: --no-resolve-image, or --resolve-image never for a stack"


class Lookup(Enum):
    """Which tags a registry is asked for."""

    EVERY = "every one"
    OTHER = "but the service's present image as it is stored"
    NEW = "but the service's present tag, whatever it means by now"


@dataclass(frozen=True)
class Submission:
    """A spec ready to be stored, or why it is not.

    Attributes:
        faults: empty when it may be stored.
        warnings: for the user, one line each.
    """

    spec: ServiceSpec
    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()


async def examine(
    spec: ServiceSpec,
    *,
    view: View,
    images: ImageResolver | None,
    previous: ServiceSpec | None = None,
    lookup: Lookup = Lookup.EVERY,
    coming: network_uses.Coming | None = None,
    coming_files: file_uses.Coming | None = None,
    coming_volumes: volume_uses.Coming | None = None,
    neighbours: Neighbours = ALONE,
) -> Submission:
    """Check and complete a spec.

    Args:
        images: asked what the tag means; None keeps the tag.
        previous: the service's present spec, whose digest is kept while the registry is away.
        lookup: which tags are asked for.
        coming: networks that the same call will make or change.
        coming_files: secrets and configs that the same call will make or change.
        coming_volumes: volumes that the same call will make.
        neighbours: services that the same call will make, change or remove.
    """
    checked = ServiceSpec()
    checked.CopyFrom(spec)
    faults = list(check_service(checked))
    if not checked.WhichOneof("mode"):
        checked.replicated.replicas = 1
    faults += neighbours.name_faults(view, checked)
    faults += container_names.name_conflicts(view, checked, neighbours)
    faults += network_uses.resolve(checked, view, coming or {}, neighbours)
    faults += mesh.port_conflicts(view, checked, neighbours)
    faults += mesh.unreachable(view, checked, coming or {})
    faults += host_programs.conflicts(view, checked, previous)
    faults += file_uses.resolve(checked, view, coming_files or {})
    faults += volume_uses.resolve(checked, view, coming_volumes or {})
    faults += volume_uses.slot_faults(checked, view)
    image_faults, warnings = await _pin_image(checked, images, previous, lookup)
    places = placement_warnings(view, checked, neighbours.coming)
    own = (
        *port_warnings(checked, view),
        *host_programs.warnings(view, checked),
        *volume_uses.warnings(checked),
        *balance_warnings(checked),
        *places,
    )
    return Submission(checked, (*faults, *image_faults), (*warnings, *own))


async def _pin_image(
    spec: ServiceSpec, images: ImageResolver | None, previous: ServiceSpec | None, lookup: Lookup
) -> tuple[Sequence[Fault], Sequence[str]]:
    """Puts the digest behind the tag. A registry that is away is a fault, unless the tag's digest is known already."""
    container = spec.task.container
    try:
        reference = image_reference.parse(container.image).tagged()
    except InvalidInput:
        return (), ()  # told by check_container
    container.image = str(reference)
    known = _known(reference, previous)
    if known and (lookup is Lookup.NEW or (lookup is Lookup.OTHER and known == container.image)):
        images = None
        container.image = known
    _keep_platforms(spec, previous)
    if reference.digest or images is None:
        return (), ()
    try:
        async with asyncio.timeout(IMAGE_SECONDS):
            found = await images.resolve(container.image)
    except (NotFound, InvalidInput, Unauthenticated, PermissionDenied) as error:
        return (Fault("task.container.image", _plain(error)),), ()
    except (ShoalError, TimeoutError) as error:
        why = f"{reference.familiar} cannot be looked up: {str(error) or f'no answer in {IMAGE_SECONDS} s'}"
        if not known:
            return (Fault("task.container.image", f"{why}; or keep the tag as it is, {WITHOUT_LOOKUP}"),), ()
        container.image = known
        _keep_platforms(spec, previous)
        return (), (f"{why}; the service keeps the image that it has",)
    container.image = found.reference_with_digest
    _set_platforms(spec, found.platforms)
    return (), ()


def _set_platforms(spec: ServiceSpec, platforms: Iterable[Platform]) -> None:
    """They are the image's to tell, whatever the user sent."""
    del spec.task.placement.platforms[:]
    for each in platforms:
        spec.task.placement.platforms.add(os=each.os, architecture=each.architecture, variant=each.variant)


def _keep_platforms(spec: ServiceSpec, previous: ServiceSpec | None) -> None:
    """Those that were known of the very same image."""
    same = previous is not None and previous.task.container.image == spec.task.container.image
    known = [*previous.task.placement.platforms] if previous is not None and same else []
    _set_platforms(spec, [Platform(each.os, each.architecture, each.variant) for each in known])


def _known(reference: image_reference.ImageReference, previous: ServiceSpec | None) -> str:
    """The service's present image if it has this tag, with its digest where that is known; else empty."""
    before = previous.task.container.image if previous is not None else ""
    return before if before.partition("@")[0] == str(reference) else ""


def _plain(error: ShoalError) -> str:
    return error.faults[0].message if isinstance(error, InvalidInput) else str(error)
