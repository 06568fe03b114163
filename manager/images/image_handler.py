"""Image calls: set, get, list, remove, prune."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress

from manager.images import image_records
from manager.images.container_conflicts import check_containers
from manager.images.filter_moments import moment_ms
from manager.images.image_deletion import ImageDeletion
from manager.images.image_locks import is_exclusive, lock_key, named_lock
from manager.images.image_records import FoundImage, contents_of, find_image, image_view, views
from manager.images.image_removal import Removal, naming, parts_of, removal, untagging
from manager.images.image_repository_client import StoredImages
from manager.images.image_users import names_of_services, services_by_digest
from manager.interfaces import NowMs
from manager.records.concurrent_changes import retried
from manager.records.in_use import in_use
from manager.store.changes import ABSENT, delete, expect, put
from manager.store.kinds import NAME
from manager.store.record_store import RecordStore
from manager.validation.image_rules import check_image
from shoal.api.v1.engine_pb2 import (
    Filter,
    GetImageRequest,
    ImageView,
    ListImagesRequest,
    ListImagesResponse,
    PruneImagesRequest,
    RemoveImageRequest,
    RemoveImagesResponse,
    SetImageRequest,
)
from shoal.api.v1.standalone_pb2 import Image
from shoal.errors import Conflict, InvalidInput, NotFound, Refused
from shoal.fault_points.injection import fault
from shoal.filters.image_filters import image_filters, is_dangling, matching_names, prune_filters
from shoal.image_reference import parse
from shoal.rpc.caller import Caller

_POLL_SECONDS = 0.1

REMOVAL_SECONDS = 21.0
"""For a removal that is under way: deleting the bytes takes 20 s at most. Callers wait for 30."""


class ImageHandler:
    """The images' calls.

    Args:
        contents: whether bytes are there; they are put there by whoever pulls, loads or builds.
        removal_seconds: so long a name for an image waits while that is being removed.
    """

    def __init__(
        self,
        *,
        store: RecordStore,
        contents: StoredImages,
        now_ms: NowMs,
        removal_seconds: float = REMOVAL_SECONDS,
    ) -> None:
        self._removal_seconds = removal_seconds
        self._store = store
        self._contents = contents
        self._now_ms = now_ms
        self._deletion = ImageDeletion(store=store, contents=contents, now_ms=now_ms)

    async def set(self, request: SetImageRequest, caller: Caller) -> Image:
        """Give a digest a name. An image that loses its last name so stays, without one, until it is pruned.

        Raises:
            InvalidInput: with all faults. NotFound: the bytes are not in the cluster's image repository, or not any
                more: then whoever has put them there does so again. Refused: the cluster has no repository.
            Conflict: the image is being removed, and that takes long.
        """
        faults = list(check_image(request.image))
        if faults:
            raise InvalidInput(faults)
        await self._until_removed(request.image)
        return await retried(lambda: self._set(request.image))

    async def get(self, request: GetImageRequest, caller: Caller) -> ImageView:
        """Raises NotFound; InvalidInput when an ID prefix is ambiguous."""
        return self._view_of(request.image)

    async def list(self, request: ListImagesRequest, caller: Caller) -> ListImagesResponse:
        """Raises InvalidInput: an unknown filter, or one whose value is none."""
        given = _by_key(request.filters)
        keeps = image_filters(self._view_of, self._moment).parse_mapping(given)
        found = [each for each in views(self._store.tables) if keeps(each)]
        for each in found:
            each.names[:] = matching_names(each.names, given.get("reference", ()))
        return ListImagesResponse(images=found)

    async def remove(self, request: RemoveImageRequest, caller: Caller) -> RemoveImagesResponse:
        """Remove a name; with the last one the image.

        Raises:
            NotFound; Refused: a service uses it, or an ID that has several names is given without `force`.
        """
        return await retried(lambda: self._remove_one(request))

    async def prune(self, request: PruneImagesRequest, caller: Caller) -> RemoveImagesResponse:
        """Remove what nothing uses. Raises InvalidInput: an unknown filter."""
        given = _by_key(request.filters)
        matches = prune_filters(self._moment).parse_mapping(given)
        everything = request.all or any(each in ("false", "0") for each in given.get("dangling", ()))
        view = self._store.tables
        unused = [
            FoundImage(each.image.digest, "", image_records.records_of(view, each.image.digest))
            for each in views(view, sorted(image_records.records_by_digest(view)))
            if not each.service_ids and not each.container_ids and (everything or is_dangling(each)) and matches(each)
        ]
        return await self._remove(unused, keep_used=True)

    async def _remove_one(self, request: RemoveImageRequest) -> RemoveImagesResponse:
        found = find_image(self._store.tables, request.image)
        if not found.name and len(found.names) > 1 and not request.force:
            names = ", ".join(parse(each).familiar for each in found.names)
            raise Refused(f"image {request.image[:80]} has several names ({names}); remove them, or use --force")
        return await self._remove([found], keep_used=False, force=request.force)

    async def _set(self, image: Image) -> Image:
        lock = await self._lock(image.digest)
        record, writes, expects = naming(self._store, image, self._now_ms())
        if not await self._contents.has(image.digest, parts_of(image)):
            if lock:
                await self._unlock(image.digest, lock)
            raise NotFound(f"image {image.digest} is not in the cluster's image repository; push it again")
        version = await self._store.commit(writes, expects=expects)
        answer = Image()
        answer.CopyFrom(record)
        answer.meta.version = version
        return answer

    async def _until_removed(self, image: Image) -> None:
        """Wait while bytes of the image are being deleted."""
        keys = [lock_key(each) for each in (image.digest, *parts_of(image))]
        with suppress(TimeoutError):
            async with asyncio.timeout(self._removal_seconds):
                while any(map(self._is_being_removed, keys)):  # noqa: ASYNC110  (any manager may be deleting them)
                    await asyncio.sleep(_POLL_SECONDS)

    def _is_being_removed(self, key: str) -> bool:
        lock = self._store.tables.names.get(key)
        return lock is not None and is_exclusive(lock, self._now_ms())

    async def _lock(self, digest: str) -> int:
        """Make the lock of a digest that has none, before its bytes are looked for: a removal that comes and goes
        meanwhile would otherwise leave no trace. Returns its version; 0 where it was there.
        """
        key = lock_key(digest)
        if key in self._store.tables.names:
            return 0
        record = named_lock(digest, self._now_ms())
        return await self._store.commit([put(NAME, key, record)], expects=[expect(NAME, key, ABSENT)])

    async def _unlock(self, digest: str, version: int) -> None:
        key = lock_key(digest)
        with suppress(Conflict):  # someone else has named it
            await self._store.commit([delete(NAME, key)], expects=[expect(NAME, key, version)])

    async def _remove(
        self, images: Sequence[FoundImage], *, keep_used: bool, force: bool = False
    ) -> RemoveImagesResponse:
        response = RemoveImagesResponse()
        for each in images:
            try:
                done = self._removal(each, force=force)
                version = await self._store.commit(done.writes, expects=done.expects)
            except (Conflict, Refused):
                if keep_used:
                    continue
                raise
            response.untagged.extend(parse(name).familiar for name in done.names)
            if done.is_last:
                response.deleted.extend(done.image_ids)
                response.reclaimed_bytes += image_records.unshared_bytes(self._store.tables, each.records)
            if done.mark is not None:
                fault("manager.images.last-name-removed")
                await self._deletion.delete(each.digest, done.mark, version)
        return response

    def _removal(self, found: FoundImage, *, force: bool) -> Removal:
        done = removal(self._store, found, self._now_ms())
        if not done.is_last:
            return done
        self._check_unused(found)
        if check_containers(self._store.tables, found, force=force):
            return untagging(self._store, found, self._now_ms())
        return done

    def _check_unused(self, found: FoundImage) -> None:
        users = services_by_digest(self._store.tables)
        own = {service for digest in contents_of(found.records) for service in users.get(digest, ())}
        if own:
            name = parse(found.names[0]).familiar if found.names else found.digest
            raise Refused(in_use("image", name, names_of_services(self._store.tables, own)))

    def _view_of(self, reference: str) -> ImageView:
        view = self._store.tables
        found = find_image(view, reference)
        shown = next(views(view, [found.digest]))
        named = [each for each in found.records if found.name and each.name == found.name]
        if named:
            return image_view(
                named,
                nodes=shown.node_ids,
                services=shown.service_ids,
                containers=shown.container_ids,
                names=shown.names,
            )
        return shown

    def _moment(self, text: str) -> int:
        return moment_ms(text, self._now_ms())


def _by_key(filters: Iterable[Filter]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in filters:
        found.setdefault(each.key, []).append(each.value)
    return found
