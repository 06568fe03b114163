"""Records of images: by name, by image ID, by digest. Pure."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from manager.images.image_users import containers_by_digest, services_by_digest
from manager.store.tables import View
from shoal.api.v1.engine_pb2 import ImageView
from shoal.api.v1.standalone_pb2 import Image
from shoal.errors import InvalidInput, NotFound
from shoal.image_reference import ImageReference, parse
from shoal.images.repository_name import record_name

_HEX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
_SHOWN = 4


@dataclass(frozen=True)
class FoundImage:
    """What a reference means.

    Attributes:
        name: of the record, where the reference is a name; empty where it is an ID or a digest.
        records: all records of the digest; at least one.
    """

    digest: str
    name: str
    records: tuple[Image, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the digest, sorted."""
        return names_of(self.records)


def record_key(image: Image) -> str:
    """The identifier of a record."""
    return key_of(image.name or image.digest)


def key_of(text: str) -> str:
    """The identifier of a name's record, or of the record of an image without a name by its digest."""
    return hashlib.sha256(text.encode()).hexdigest()


def records_by_digest(view: View) -> dict[str, tuple[Image, ...]]:
    """All records, those of one digest together."""
    found: dict[str, list[Image]] = {}
    for each in view.images.values():
        found.setdefault(each.digest, []).append(each)
    return {digest: tuple(each) for digest, each in found.items()}


def records_of(view: View, digest: str) -> tuple[Image, ...]:
    """The records of a digest."""
    return tuple(each for each in view.images.values() if each.digest == digest)


def kept_record(view: View, digest: str, name: str, built_on: str) -> Image | None:
    """The record that naming an image again would write anew; None: there is none, or it says something else.

    Args:
        name: normalized reference; empty for none.
    """
    found = view.images.get(key_of(name or digest))
    return found if found is not None and found.digest == digest and found.built_on == built_on else None


def names_of(records: Iterable[Image]) -> tuple[str, ...]:
    """Names of records, sorted, without those of images that have none."""
    return tuple(sorted(each.name for each in records if each.name))


def find_image(view: View, reference: str) -> FoundImage:
    """By name, by the beginning of an image ID, or by digest.

    Raises:
        NotFound: none has it. InvalidInput: it is no reference, or several images begin so.
    """
    named = _named(view, reference)
    if named is not None:
        return FoundImage(named.digest, named.name, records_of(view, named.digest))
    digests = sorted(_matching(view, reference))
    if len(digests) > 1:
        shown = ", ".join(each[7:19] for each in digests[:_SHOWN])
        raise InvalidInput(
            f'image ID prefix "{reference[:80]}" is ambiguous: it matches {len(digests)} images ({shown})'
        )
    if not digests:
        raise NotFound(f"No such image: {_shown(reference)}")
    return FoundImage(digests[0], "", records_of(view, digests[0]))


def find_name(view: View, reference: ImageReference) -> Image | None:
    """The record of a name; of one with a digest, also another name of the same repository that has it, or a record
    without a name, whose image is nowhere but here.
    """
    found = view.images.get(key_of(record_name(reference)))
    if found is not None or not reference.digest:
        return found
    same = [each for each in view.images.values() if each.digest == reference.digest]
    named = (each for each in same if each.name and parse(each.name).name == reference.name)
    return next(named, None) or next((each for each in same if not each.name), None)


def image_view(
    records: Sequence[Image],
    *,
    nodes: Iterable[str],
    services: Iterable[str],
    containers: Iterable[str],
    names: Sequence[str] | None = None,
) -> ImageView:
    """A digest's records as one; the newest first.

    Args:
        names: of the digest, where `records` are only some of its records.
    """
    newest = max(records, key=lambda each: each.meta.updated_at_ms)
    return ImageView(
        image=newest,
        names=names_of(records) if names is None else names,
        node_ids=sorted(set(nodes)),
        container_ids=sorted(containers),
        service_ids=sorted(services),
    )


def views(view: View, digests: Iterable[str] | None = None) -> Iterator[ImageView]:
    """Images with what uses and holds them, by digest; None: all of them, and those that services and containers use
    without a record. What nodes alone still hold is no image of the cluster any more: they collect it."""
    records, nodes = records_by_digest(view), nodes_by_digest(view)
    services, containers = services_by_digest(view), containers_by_digest(view)
    known: set[str] = set()
    for digest in sorted(records) if digests is None else digests:
        own = contents_of(records[digest])
        known |= own
        yield image_view(
            records[digest],
            nodes=[node for each in own for node in nodes.get(each, ())],
            services={service for each in own for service in services.get(each, ())},
            containers={container for each in own for container in containers.get(each, ())},
        )
    if digests is None:
        yield from _unrecorded(view, nodes, services, containers, known)


def contents_of(records: Iterable[Image]) -> set[str]:
    """Digests of an image's index and of its manifests: services and nodes may name either."""
    return {digest for each in records for digest in (each.digest, *(one.digest for one in each.variants))}


def is_part(view: View, digest: str) -> bool:
    """Whether a manifest is that of a platform of another image that has a record: its index refers to it."""
    return any(one.digest == digest for each in view.images.values() if each.digest != digest for one in each.variants)


def unshared_bytes(view: View, records: Iterable[Image]) -> int:
    """Stored bytes of images that no other record needs: what their registry can free once they are gone."""
    own = {each.digest for each in records}
    others = (one for each in view.images.values() if each.digest not in own for one in each.variants)
    needed = {digest for one in others for digest in (*one.layers, one.config_digest)}
    variants = {one.digest: one for each in records for one in each.variants}.values()
    layers = {digest: size for one in variants for digest, size in zip(one.layers, one.layer_bytes, strict=False)}
    configs = {one.config_digest: max(0, one.stored_bytes - sum(one.layer_bytes)) for one in variants}
    return sum(size for digest, size in (layers | configs).items() if digest not in needed)


def nodes_by_digest(view: View) -> dict[str, list[str]]:
    """Nodes that hold an image, by each of its digests."""
    found: dict[str, list[str]] = {}
    for node_id, held in view.node_images.items():
        for digest in held.digests:
            found.setdefault(digest, []).append(node_id)
    return found


def _unrecorded(
    view: View,
    nodes: Mapping[str, Sequence[str]],
    services: Mapping[str, set[str]],
    containers: Mapping[str, set[str]],
    known: set[str],
) -> Iterator[ImageView]:
    """Images of services and containers that were never pulled into the cluster's repository: a digest, and their names
    by digest."""
    for digest in sorted({*services, *containers} - known):
        users, others = services.get(digest, set()), containers.get(digest, set())
        references = [*(_image_of_service(view, each) for each in users), *(_image_of(view, each) for each in others)]
        names = {f"{parse(each).name}@{digest}" for each in references if each.endswith(f"@{digest}")}
        yield ImageView(
            image=Image(digest=digest),
            names=sorted(names),
            node_ids=sorted(nodes.get(digest, ())),
            container_ids=sorted(others),
            service_ids=sorted(users),
        )


def _image_of_service(view: View, service_id: str) -> str:
    service = view.services.get(service_id)
    return service.spec.task.container.image if service is not None else ""


def _image_of(view: View, container_id: str) -> str:
    return view.containers[container_id].definition.task.container.image


def _named(view: View, reference: str) -> Image | None:
    try:
        return find_name(view, parse(reference))
    except InvalidInput:
        if _HEX.fullmatch(reference):
            return None
        raise


def _matching(view: View, reference: str) -> set[str]:
    found = _HEX.fullmatch(reference)
    if found is None:
        return set()
    prefix = f"sha256:{found[1]}"
    return {
        each.digest
        for each in view.images.values()
        if each.digest.startswith(prefix) or any(one.config_digest.startswith(prefix) for one in each.variants)
    }


def _shown(reference: str) -> str:
    """As Docker shows it: with a tag. Clients compare the text."""
    try:
        return parse(reference).with_default_tag().familiar
    except InvalidInput:
        return reference[:100]
