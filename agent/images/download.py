"""Downloads one compressed layer: resumes an interrupted download, verifies the digest as it arrives."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

from agent.images.disk_guard import disk_error
from agent.images.disk_reservations import DiskReservations, Reservation
from agent.images.transfer_rate import TransferRate
from shoal.distribution.digests import DigestCheck
from shoal.distribution.manifests import Descriptor
from shoal.distribution.registry_client import Repository
from shoal.distribution.retry_policy import RetryPolicy
from shoal.errors import Exhausted, InvalidInput, Unavailable
from shoal.fault_points.injection import fault
from shoal.threaded_call import in_thread

_log = logging.getLogger(__name__)
_WRITE_BYTES = 1 << 20
_INLINE_WRITE_BYTES = 64 << 10
"""Small enough to be written and hashed faster than a thread could be used."""

_PROGRESS_BYTES = 64 << 10
"""An attempt that receives less counts as failed: otherwise a registry that disconnects after each byte would be
retried forever."""


class LayerDownload:
    """Download of one layer to a file, which may already contain its first bytes.

    Args:
        reservations: of the file's disk.
        on_bytes: called with the number of bytes received; negative if some were lost.
    """

    def __init__(
        self,
        repository: Repository,
        descriptor: Descriptor,
        path: Path,
        *,
        reservations: DiskReservations,
        on_bytes: Callable[[int], None],
        policy: RetryPolicy,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository = repository
        self._descriptor = descriptor
        self._path = path
        self._reservations = reservations
        self._on_bytes = on_bytes
        self._policy = policy
        self._sleep = sleep
        self._clock = clock
        self._check = DigestCheck(descriptor.digest, descriptor.size)

    async def run(self) -> None:
        """Complete the file and verify its digest.

        Raises:
            InvalidInput: corrupt; the file is removed.
            Unavailable: disconnected too often without progress, or too slow; the file is kept for the next attempt.
            Exhausted: the disk is full, or its reserve is reached; the file is removed.
        """
        try:
            with self._path.open("a+b", buffering=0) as file:
                if file.tell():
                    await in_thread(lambda: self._resume(file))
                self._on_bytes(self._check.seen)
                with self._reservations.reserve(self._descriptor.size - self._check.seen) as reservation:
                    await self._fetch_in_time(file, reservation)
            self._check.finish()
        except Exhausted:
            self._path.unlink(missing_ok=True)
            raise
        except InvalidInput as error:
            self._path.unlink(missing_ok=True)
            raise InvalidInput(f"{self._repository.name}: {error}") from error
        except OSError as error:
            self._path.unlink(missing_ok=True)
            raise disk_error(error, self._path) from error

    def _resume(self, file: BinaryIO) -> None:
        """Hash the bytes of an earlier attempt; truncate the file if it is longer than the layer."""
        file.seek(0, 2)
        if file.tell() > self._descriptor.size:
            file.truncate(0)
        file.seek(0)
        while chunk := file.read(_WRITE_BYTES):
            self._check.update(chunk)

    async def _fetch_in_time(self, file: BinaryIO, reservation: Reservation) -> None:
        seconds = self._policy.layer_deadline(self._descriptor.size)
        try:
            async with asyncio.timeout(seconds):
                await self._fetch_rest(file, reservation)
        except TimeoutError:
            raise Unavailable(
                f"download of {self._name} timed out after {seconds:.0f} "
                f"s; {self._check.seen} bytes are kept for the next attempt"
            ) from None

    async def _fetch_rest(self, file: BinaryIO, reservation: Reservation) -> None:
        failures = 0
        while self._check.seen < self._descriptor.size:
            before = self._check.seen
            try:
                await self._fetch(file, reservation)
                if self._check.seen < self._descriptor.size:
                    raise Unavailable(f"the registry closed the connection before all of {self._name} was received")
            except Unavailable as error:
                failures = 1 if self._check.seen >= before + _PROGRESS_BYTES else failures + 1
                if failures >= self._policy.attempts:
                    raise
                _log.info("%s; resuming at byte %d", error, self._check.seen)
                await self._sleep(self._policy.delay(failures))

    async def _fetch(self, file: BinaryIO, reservation: Reservation) -> None:
        async with self._repository.blob_stream(self._descriptor, self._check.seen) as stream:
            if stream.offset != self._check.seen:
                self._restart(file)
            buffered, rate = bytearray(), TransferRate(self._policy, self._clock)
            try:
                async for chunk in stream.chunks:
                    buffered += chunk
                    if not rate.is_fast_enough(len(chunk)):
                        raise self._too_slow()
                    if len(buffered) >= _WRITE_BYTES:
                        await self._append(file, buffered, reservation)
                    rate.start_waiting()
            finally:
                await self._append(file, buffered, reservation)

    def _too_slow(self) -> Unavailable:
        minimum = self._policy.min_bytes_per_second
        return Unavailable(f"download of {self._name} is too slow; the minimum is {minimum} bytes per second")

    def _restart(self, file: BinaryIO) -> None:
        file.truncate(0)
        self._on_bytes(-self._check.seen)
        self._check = DigestCheck(self._descriptor.digest, self._descriptor.size)

    async def _append(self, file: BinaryIO, buffered: bytearray, reservation: Reservation) -> None:
        """Write and hash; in a thread if that would block the event loop for a noticeable time."""
        chunk = bytes(buffered)
        buffered.clear()
        if chunk:
            check = self._check
            if len(chunk) <= _INLINE_WRITE_BYTES:
                _write_and_hash(file, check, chunk)
            else:
                await in_thread(lambda: _write_and_hash(file, check, chunk))
            self._on_bytes(len(chunk))
            reservation.record_written(len(chunk))

    @property
    def _name(self) -> str:
        return f"{self._repository.name}@{self._descriptor.digest}"


def _write_and_hash(file: BinaryIO, check: DigestCheck, chunk: bytes) -> None:
    check.update(chunk)
    view = memoryview(chunk)
    while view:
        fault("agent.pull.layer-bytes")
        view = view[file.write(view) :]
