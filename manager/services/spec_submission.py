"""Submission of a spec: validation, references resolved to IDs, image tag resolved to a digest."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from manager.interfaces import ImageResolver
from manager.networks import host_port_conflicts, network_references, routing_mesh
from manager.services import file_references
from manager.store.tables import View
from manager.validation import container_name_rules
from manager.validation.load_balancing_rules import balance_warnings
from manager.validation.placement_rules import placement_warnings
from manager.validation.published_port_rules import port_warnings
from manager.validation.runtime_rules import check_runtime
from manager.validation.service_rules import check_service
from manager.validation.submitted import NOTHING, Submitted
from manager.volumes import volume_references
from shoal import image_reference
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.distribution.manifests import Platform
from shoal.errors import Fault, InvalidInput, NotFound, PermissionDenied, ShoalError, Unauthenticated

IMAGE_SECONDS = 15
"""How long a submission waits for a registry."""

SKIP_RESOLVE_HINT = "and do not resolve images (--no-resolve-image, or --resolve-image never for a stack)"


class ResolveImage(Enum):
    """Which tags a registry is asked to resolve."""

    ALWAYS = auto()
    UNLESS_SAME_IMAGE = auto()
    """Not that of the service's present image, as it is stored."""
    UNLESS_SAME_TAG = auto()
    """Not the service's present tag, whatever it points to by now."""


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


async def prepare(
    spec: ServiceSpec,
    *,
    view: View,
    images: ImageResolver | None,
    previous: ServiceSpec | None = None,
    resolve_image: ResolveImage = ResolveImage.ALWAYS,
    submitted: Submitted = NOTHING,
) -> Submission:
    """Validate and complete a spec.

    Args:
        images: resolves the tag; None keeps the tag.
        previous: the service's present spec, whose digest is kept while the registry is unavailable.
        resolve_image: which tags are resolved.
        submitted: objects that the request creates, changes or removes beside this service.
    """
    checked = ServiceSpec()
    checked.CopyFrom(spec)
    faults = list(check_service(checked))
    if not checked.WhichOneof("mode"):
        checked.replicated.replicas = 1
    faults += submitted.services.name_faults(view, checked)
    faults += container_name_rules.name_conflicts(view, checked, submitted.services)
    faults += network_references.resolve(checked, view, submitted.networks, submitted.services)
    faults += routing_mesh.port_conflicts(view, checked, submitted.services)
    faults += routing_mesh.internal_only_faults(view, checked, submitted.networks)
    faults += host_port_conflicts.conflicts(view, checked, previous)
    faults += file_references.resolve(checked, view, submitted.files)
    faults += volume_references.resolve(checked, view, submitted.volumes)
    faults += volume_references.slot_faults(checked, view)
    faults += check_runtime("task.container.runtime", checked.task.container.runtime, view)
    image_faults, warnings = await pin_image(checked, images, previous, resolve_image)
    placement = placement_warnings(view, checked, submitted.services.submitted)
    own = (
        *port_warnings(checked, view),
        *host_port_conflicts.warnings(view, checked),
        *volume_references.warnings(checked),
        *balance_warnings(checked),
        *placement,
    )
    return Submission(checked, (*faults, *image_faults), (*warnings, *own))


async def pin_image(
    spec: ServiceSpec, images: ImageResolver | None, previous: ServiceSpec | None, resolve_image: ResolveImage
) -> tuple[Sequence[Fault], Sequence[str]]:
    """Resolve the tag to a digest. An unreachable registry is an error, unless the digest is already known."""
    container = spec.task.container
    try:
        reference = image_reference.parse(container.image).with_default_tag()
    except InvalidInput:
        return (), ()  # reported by check_container
    container.image = str(reference)
    known = _pinned_image(reference, previous)
    if known and (
        resolve_image is ResolveImage.UNLESS_SAME_TAG
        or (resolve_image is ResolveImage.UNLESS_SAME_IMAGE and known == container.image)
    ):
        images = None
        container.image = known
    _keep_platforms(spec, previous)
    if reference.digest or images is None:
        return (), ()
    try:
        async with asyncio.timeout(IMAGE_SECONDS):
            found = await images.resolve(container.image)
    except (NotFound, InvalidInput, Unauthenticated, PermissionDenied) as error:
        return (Fault("task.container.image", _message_of(error)),), ()
    except (ShoalError, TimeoutError) as error:
        why = f"cannot resolve image {reference.familiar}: {str(error) or f'no response within {IMAGE_SECONDS} s'}"
        if not known:
            return (Fault("task.container.image", f"{why}; to deploy anyway, keep the tag {SKIP_RESOLVE_HINT}"),), ()
        container.image = known
        _keep_platforms(spec, previous)
        return (), (f"{why}; keeping the current image",)
    container.image = found.reference_with_digest
    _set_platforms(spec, found.platforms)
    return (), ()


def _set_platforms(spec: ServiceSpec, platforms: Iterable[Platform]) -> None:
    """Platforms are those of the image, whatever the user sent."""
    del spec.task.placement.platforms[:]
    for each in platforms:
        spec.task.placement.platforms.add(os=each.os, architecture=each.architecture, variant=each.variant)


def _keep_platforms(spec: ServiceSpec, previous: ServiceSpec | None) -> None:
    """Keep the platforms that are known of the same image."""
    same = previous is not None and previous.task.container.image == spec.task.container.image
    known = [*previous.task.placement.platforms] if previous is not None and same else []
    _set_platforms(spec, [Platform(each.os, each.architecture, each.variant) for each in known])


def _pinned_image(reference: image_reference.ImageReference, previous: ServiceSpec | None) -> str:
    """The service's present image if it has this tag, with its digest if known; else empty."""
    before = previous.task.container.image if previous is not None else ""
    return before if before.partition("@")[0] == str(reference) else ""


def _message_of(error: ShoalError) -> str:
    return error.faults[0].message if isinstance(error, InvalidInput) else str(error)
