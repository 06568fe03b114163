"""Unpacks layers into the content store, each in a sandboxed process of its own with resource limits."""

import asyncio
from pathlib import Path

from agent.images.content_store import ContentStore
from agent.images.layers.unpack_messages import UnpackRequest
from agent.images.unpack_process import UnpackProcess
from shoal.errors import InvalidInput
from shoal.fault_points.injection import fault
from shoal.threaded_call import in_thread


class Unpacker:
    """Unpacks layers into a content store. Belongs to one event loop.

    The process starts at the first call and exits when it has been idle for a while: an agent that pulls nothing has
    none.

    Args:
        reserve_bytes: what must stay free on the disk.
    """

    def __init__(self, content: ContentStore, *, reserve_bytes: int, idle_seconds: float = 60.0) -> None:
        self._content = content
        self._reserve_bytes = reserve_bytes
        self._idle_seconds = idle_seconds
        self._process: UnpackProcess | None = None
        self._active = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stopping: set[asyncio.Task[None]] = set()

    def prepare(self) -> None:
        """Start the process before a layer has to be unpacked.

        Raises:
            Unavailable: it cannot be started.
        """
        if self._process is None or not self._process.is_running:
            self._stop_process()
            self._process = UnpackProcess(self._content.temporary)
        self._restart_idle_timer()

    async def unpack(self, blob: Path, diff_id: str) -> None:
        """Unpack a layer into the store and remove its blob; the blob is kept if another attempt could succeed.

        A cancellation aborts the work and waits until it has ended.

        Raises:
            InvalidInput: the layer is corrupt, hostile, does not match `diff_id`, or exceeds its budget.
            Exhausted: the disk is full. Unavailable: the disk fails, or the process was killed.
        """
        if self._content.has_layer(diff_id):
            blob.unlink(missing_ok=True)
            return
        directory = self._content.new_layer()
        try:
            await self._run(blob, directory, diff_id)
            fault("agent.unpack.unpacked")
            await in_thread(lambda: self._commit(directory, diff_id))
        except InvalidInput:
            blob.unlink(missing_ok=True)  # the same bytes would fail again
            raise
        finally:
            if directory.exists():
                await in_thread(lambda: self._content.remove_new_layer(directory))
        blob.unlink(missing_ok=True)

    async def aclose(self) -> None:
        """Stop the process."""
        if self._timer is not None:
            self._timer.cancel()
        self._stop_process()
        await asyncio.gather(*self._stopping)

    def _commit(self, directory: Path, diff_id: str) -> None:
        self._content.commit_layer(directory, diff_id)
        self._content.remove_new_layer(directory)

    async def _run(self, blob: Path, directory: Path, diff_id: str) -> None:
        self._active += 1
        try:
            self.prepare()
            assert self._process is not None
            await self._process.unpack(blob, UnpackRequest(diff_id, directory.name, self._reserve_bytes))
        finally:
            self._active -= 1
            self._restart_idle_timer()

    def _restart_idle_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._stop_if_idle)

    def _stop_if_idle(self) -> None:
        self._timer = None
        if not self._active:
            self._stop_process()

    def _stop_process(self) -> None:
        if self._process is None:
            return
        task = asyncio.create_task(self._process.aclose(), name="images: end of the unpack program")
        self._process = None
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
