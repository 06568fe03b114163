"""The threads that change the kernel's network state. Asynchronous outside."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class RunInThread(Protocol):
    """Runs a function in one certain thread, in the order of the calls."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class KernelThreads:
    """One thread that owns the kernel's tables, and one that creates namespaces, the slow part.

    Both are in the network namespace of the thread that creates the object.
    """

    def __init__(self) -> None:
        self._kernel = ThreadPoolExecutor(1, thread_name_prefix="datapath")
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="namespaces")

    async def in_kernel(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in the thread that owns the kernel's tables."""
        return await asyncio.get_running_loop().run_in_executor(self._kernel, lambda: work(*args, **kwargs))

    async def in_maker(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in the thread that creates namespaces."""
        return await asyncio.get_running_loop().run_in_executor(self._maker, lambda: work(*args, **kwargs))

    def submit(self, work: Callable[[], None]) -> None:
        """Have a function run in the thread that owns the kernel's tables, behind all earlier calls."""
        self._kernel.submit(work)

    def close(self) -> None:
        """Wait for what was submitted, and end both threads."""
        self._maker.shutdown()
        self._kernel.shutdown()
