"""Pulls one image: from its registry to unpacked layers. Imports the client, and with it httpx: import this at first
use."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.images.content_store import ContentStore
from agent.images.disk_reservations import DiskReservations
from agent.images.download import LayerDownload
from agent.images.fair_slots import FairSlots, KeyedLocks
from agent.images.image_index import LocalImage, local_image
from agent.images.pull_progress import PullProgress
from agent.images.single_flight import SingleFlight
from agent.images.unpacker import Unpacker
from agent.worker.interfaces import Report
from shoal.distribution.image_config import layers_by_diff_id
from shoal.distribution.manifests import Descriptor, Index, Manifest, Platform, choose_manifest, parse_manifest
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution, RawManifest, Repository
from shoal.distribution.retry_policy import RetryPolicy
from shoal.errors import Exhausted, InvalidInput, NotFound, ShoalError
from shoal.fault_points.injection import fault
from shoal.image_reference import ImageReference, parse
from shoal.metrics import instruments
from shoal.task_group import TaskGroup

_PULL_SECONDS = instruments.Histogram("shoal_agent_pull_seconds", "Duration of pulls of images that succeeded.")
_PULL_FAILURES = instruments.Counter("shoal_agent_pull_failures", "Pulls of images that failed.")

_log = logging.getLogger(__name__)


class Puller:
    """Pulls images into a content store.

    Args:
        unpacker: of the same content store.
        parallel: maximum number of layers fetched concurrently from one registry, and of layers unpacked concurrently.
        downloads: maximum number of layers fetched concurrently from all registries. No registry can occupy all slots,
            so that a slow registry delays only its own images.
        reserve_bytes: what must stay free on the disk.
    """

    def __init__(
        self,
        content: ContentStore,
        registries: Registries,
        platform: Platform,
        *,
        unpacker: Unpacker,
        policy: RetryPolicy,
        parallel: int = 3,
        downloads: int = 16,
        reserve_bytes: int = 256 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._content = content
        self._platform = platform
        self._policy = policy
        self._unpacker = unpacker
        self._clock = clock
        self._distribution = Distribution(registries, policy=policy)
        self._downloads = FairSlots(total=downloads, each=parallel)
        self._unpack_slots = asyncio.Semaphore(parallel)
        self._layer_locks = KeyedLocks()
        self._reservations = DiskReservations(content.directory, reserve_bytes, clock=clock)
        self._active_downloads: Counter[Path] = Counter()
        self._cluster_repository = ""
        self._layer_pulls: SingleFlight[tuple[str, str, str], None] = SingleFlight()

    def set_cluster_repository(self, name: str) -> None:
        """See `ImageStore.set_cluster_repository`."""
        self._cluster_repository = name

    @property
    def lacks_space(self) -> bool:
        """Whether a pull failed recently because of a full disk, and would fail again."""
        return self._reservations.lacks_space

    async def aclose(self) -> None:
        """Close the connections to registries."""
        await self._distribution.aclose()

    async def current_digest(self, reference: str) -> str:
        """The digest that a tag names now; one attempt, since a local image may serve. Raises as the client does."""
        parsed = parse(reference)
        return await self._distribution.repository(parsed, attempts=1).manifest_digest(parsed.target)

    async def pull(self, reference: str, report: Report) -> LocalImage:
        """The image, with all its parts in place. Raises as `Images.ensure` does."""
        began = self._clock()
        try:
            pulled = await self._pull(reference, report)
        except ShoalError:
            _PULL_FAILURES.add()
            raise
        _PULL_SECONDS.observe(self._clock() - began)
        return pulled

    async def _pull(self, reference: str, report: Report) -> LocalImage:
        parsed = parse(reference)
        report(f"pulling {parsed.familiar}")
        try:
            repository, top = await self._find(parsed)
            raw, manifest = await self._for_platform(repository, top)
            fault("agent.pull.manifest")
            config = await repository.blob(manifest.config)
            entry = local_image(self._content, reference, top.digest, raw.digest, manifest.config.digest, config)
            await self._pull_layers(repository, layers_by_diff_id(manifest, entry.diff_ids), report)
        except (InvalidInput, NotFound) as error:
            raise type(error)(_with_name(parsed.familiar, str(error))) from error
        self._content.write_blob(raw.digest, raw.content)
        self._content.write_blob(manifest.config.digest, config)
        fault("agent.pull.documents")
        return entry

    async def _find(self, reference: ImageReference) -> tuple[Repository, RawManifest]:
        """Where the image is: of one with a digest the cluster's image repository is asked first."""
        failure, cluster = "", parse(self._cluster_repository) if self._cluster_repository else None
        if reference.digest and cluster is not None:
            try:
                top = await self._distribution.repository(cluster, attempts=1).manifest(reference.digest)
            except NotFound:
                pass
            except ShoalError as error:
                failure = str(error)
                _log.warning("%s; pulling %s from its own registry", failure, reference.familiar)
            else:
                return self._distribution.repository(cluster), top
        repository = self._distribution.repository(reference)
        try:
            return repository, await repository.manifest(reference.target)
        except ShoalError as error:
            same = cluster is not None and cluster.domain == reference.domain
            if not failure or same or isinstance(error, InvalidInput):
                raise
            raise type(error)(f"{error}; the cluster's image repository: {failure}") from error

    async def _for_platform(self, repository: Repository, top: RawManifest) -> tuple[RawManifest, Manifest]:
        raw, parsed = top, parse_manifest(top.content, top.media_type)
        if isinstance(parsed, Index):
            raw = await repository.manifest(choose_manifest(parsed, self._platform).digest)
            parsed = parse_manifest(raw.content, raw.media_type)
        if isinstance(parsed, Index):
            raise InvalidInput("nested image indexes are not supported")
        return raw, parsed

    async def _pull_layers(self, repository: Repository, layers: Mapping[str, Descriptor], report: Report) -> None:
        missing = {diff_id: layer for diff_id, layer in layers.items() if not self._content.has_layer(diff_id)}
        for diff_id in layers.keys() - missing.keys():  # a process that died may not have come to this
            self._partial(repository, layers[diff_id], diff_id).unlink(missing_ok=True)
        self._require_space(repository, missing)
        progress = PullProgress([layer.size for layer in missing.values()], report, clock=self._clock)
        try:
            async with TaskGroup() as group:
                for diff_id, layer in missing.items():
                    group.create_task(self._pull_layer(repository, layer, diff_id, progress))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def _require_space(self, repository: Repository, missing: Mapping[str, Descriptor]) -> None:
        """Check that these layers fit; partial downloads that are not in progress are deleted if necessary. Raises
        Exhausted."""
        size = sum(self._remaining_bytes(repository, layer, diff_id) for diff_id, layer in missing.items())
        try:
            self._reservations.require(size)
        except Exhausted:
            own = {self._partial(repository, layer, diff_id) for diff_id, layer in missing.items()}
            self._content.delete_partials(math.inf, own | self._active_downloads.keys())
            self._reservations.require(size)

    async def _pull_layer(
        self, repository: Repository, layer: Descriptor, diff_id: str, progress: PullProgress
    ) -> None:
        """Pull one layer. Pulls of the same layer from one registry share the work; a failure in another repository
        does not fail this one."""
        key = (_registry(repository), layer.digest, diff_id)
        started = False

        async def work(_: Report) -> None:
            nonlocal started
            started = True
            if not self._content.has_layer(diff_id):
                await self._fetch_and_unpack(repository, layer, diff_id, progress)

        while not started:
            try:
                await self._layer_pulls.run(key, _ignore, work)
                break
            except ShoalError:
                if started:
                    raise
        progress.layer_done()

    async def _fetch_and_unpack(
        self, repository: Repository, layer: Descriptor, diff_id: str, progress: PullProgress
    ) -> None:
        path = self._partial(repository, layer, diff_id)
        download = LayerDownload(
            repository,
            layer,
            path,
            reservations=self._reservations,
            on_bytes=progress.add_bytes,
            policy=self._policy,
            clock=self._clock,
        )
        self._active_downloads[path] += 1
        try:
            async with self._downloads.hold(_registry(repository)):
                await download.run()
                fault("agent.pull.layer-downloaded")
            # Another registry may have a layer of the same content: the first one is kept.
            async with self._layer_locks.hold(diff_id), self._unpack_slots:
                await self._unpacker.unpack(path, diff_id)
        except Exhausted:
            if not self._reservations.lacks_space:
                self._reservations.mark_full()
            raise
        finally:
            self._active_downloads[path] -= 1
            self._active_downloads += Counter()  # drops what is at zero

    def _partial(self, repository: Repository, layer: Descriptor, diff_id: str) -> Path:
        return self._content.partial(_registry(repository), layer.digest, diff_id)

    def _remaining_bytes(self, repository: Repository, layer: Descriptor, diff_id: str) -> int:
        path = self._partial(repository, layer, diff_id)
        return layer.size - (min(path.stat().st_size, layer.size) if path.exists() else 0)


def _registry(repository: Repository) -> str:
    return repository.transport.registry.domain


def _with_name(name: str, text: str) -> str:
    return text if name in text else f"{name}: {text}"


def _ignore(_: str) -> None:
    return None
