"""A compressed layer onto the disk: resumed where it broke off, verified as it comes in."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

from agent.images.disk import disk_error
from agent.images.disk_room import Claim, DiskRoom
from agent.images.pace import Pace
from agent.images.threads import in_thread
from shoal.distribution.client import Repository
from shoal.distribution.digests import DigestCheck
from shoal.distribution.manifests import Descriptor
from shoal.distribution.retrying import RetryPolicy
from shoal.errors import Exhausted, InvalidInput, Unavailable

_log = logging.getLogger(__name__)
_WRITE_BYTES = 1 << 20
_SHORT_BYTES = 64 << 10
"""Written and hashed in less time than a thread takes to be asked."""

_PROGRESS_BYTES = 64 << 10
"""A try that brings less is one that failed: a registry that breaks off after each byte would be asked for ever."""


class Download:
    """One layer on its way to a file, which may hold a beginning of it.

    Args:
        room: of the file's disk.
        add: called with the number of bytes that came in; negative where some were lost.
    """

    def __init__(
        self,
        repository: Repository,
        descriptor: Descriptor,
        path: Path,
        *,
        room: DiskRoom,
        add: Callable[[int], None],
        policy: RetryPolicy,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository = repository
        self._descriptor = descriptor
        self._path = path
        self._room = room
        self._add = add
        self._policy = policy
        self._sleep = sleep
        self._clock = clock
        self._check = DigestCheck(descriptor.digest, descriptor.size)

    async def run(self) -> None:
        """The whole layer is in the file, and is what its digest names.

        Raises:
            InvalidInput: corrupt; the file is removed.
            Unavailable: broke off too often without getting further, or too slow; what came in stays for the next time.
            Exhausted: the disk has no room, or its reserve is reached; the file is removed.
        """
        try:
            with self._path.open("a+b", buffering=0) as file:
                if file.tell():
                    await in_thread(lambda: self._take_beginning(file))
                self._add(self._check.seen)
                with self._room.claim(self._descriptor.size - self._check.seen) as claim:
                    await self._fetch_in_time(file, claim)
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

    def _take_beginning(self, file: BinaryIO) -> None:
        """Hash what an earlier run left; start anew where it cannot be a beginning."""
        file.seek(0, 2)
        if file.tell() > self._descriptor.size:
            file.truncate(0)
        file.seek(0)
        while chunk := file.read(_WRITE_BYTES):
            self._check.update(chunk)

    async def _fetch_in_time(self, file: BinaryIO, claim: Claim) -> None:
        seconds = self._policy.layer_deadline(self._descriptor.size)
        try:
            async with asyncio.timeout(seconds):
                await self._fetch_rest(file, claim)
        except TimeoutError:
            raise Unavailable(
                f"{self._name} did not come within {seconds:.0f} s; {self._check.seen} bytes of it are kept for the "
                "next try"
            ) from None

    async def _fetch_rest(self, file: BinaryIO, claim: Claim) -> None:
        failures = 0
        while self._check.seen < self._descriptor.size:
            before = self._check.seen
            try:
                await self._fetch(file, claim)
                if self._check.seen < self._descriptor.size:
                    raise Unavailable(f"the registry ended {self._name} too early")
            except Unavailable as error:
                failures = 1 if self._check.seen >= before + _PROGRESS_BYTES else failures + 1
                if failures >= self._policy.attempts:
                    raise
                _log.info("%s; going on at byte %d", error, self._check.seen)
                await self._sleep(self._policy.delay(failures))

    async def _fetch(self, file: BinaryIO, claim: Claim) -> None:
        async with self._repository.blob_stream(self._descriptor, self._check.seen) as stream:
            if stream.offset != self._check.seen:
                self._start_anew(file)
            waiting, pace = bytearray(), Pace(self._policy, self._clock)
            try:
                async for chunk in stream.chunks:
                    waiting += chunk
                    if not pace.keeps_up(len(chunk)):
                        raise self._too_slow()
                    if len(waiting) >= _WRITE_BYTES:
                        await self._append(file, waiting, claim)
                    pace.wait()
            finally:
                await self._append(file, waiting, claim)

    def _too_slow(self) -> Unavailable:
        least = self._policy.least_bytes_per_second
        return Unavailable(f"the registry sends {self._name} too slowly; the minimum is {least} bytes a second")

    def _start_anew(self, file: BinaryIO) -> None:
        file.truncate(0)
        self._add(-self._check.seen)
        self._check = DigestCheck(self._descriptor.digest, self._descriptor.size)

    async def _append(self, file: BinaryIO, waiting: bytearray, claim: Claim) -> None:
        """Write and hash in a thread, where both take long enough to be felt by the loop."""
        chunk = bytes(waiting)
        waiting.clear()
        if chunk:
            check = self._check
            if len(chunk) <= _SHORT_BYTES:
                _write_and_hash(file, check, chunk)
            else:
                await in_thread(lambda: _write_and_hash(file, check, chunk))
            self._add(len(chunk))
            claim.used(len(chunk))

    @property
    def _name(self) -> str:
        return f"{self._repository.name}@{self._descriptor.digest}"


def _write_and_hash(file: BinaryIO, check: DigestCheck, chunk: bytes) -> None:
    check.update(chunk)
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]
