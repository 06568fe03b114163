"""A lease that is kept alive while a block runs; when it is lost, the block is cancelled."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from manager.store.backend import Backend
from shoal.errors import Unavailable
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)

TTL_SECONDS = 10
"""How long a dead manager is missed at most. Kept alive three times in that time."""

Clock = Callable[[], float]


class LeaseLost(Exception):
    """The lease ran out or may have: its keys are not ours any more."""


@asynccontextmanager
async def held_lease(backend: Backend, *, ttl_seconds: int = TTL_SECONDS) -> AsyncGenerator[int]:
    """Grant a lease and keep it alive; revoke it at the end, so that its keys vanish at once.

    Raises:
        ExceptionGroup: with LeaseLost; the block was cancelled for it.
        Unavailable: no lease could be had.
    """
    clock = asyncio.get_running_loop().time
    asked = clock()
    lease = await backend.grant(ttl_seconds)
    try:
        async with TaskGroup() as group:
            keeper = group.create_task(_keep_alive(backend, lease, ttl_seconds, asked, clock), name=f"lease {lease:x}")
            try:
                yield lease
            finally:
                keeper.cancel()
    finally:
        await _revoke(backend, lease)


async def _keep_alive(backend: Backend, lease: int, ttl: int, asked: float, clock: Clock) -> None:
    """Extend the lease for ever. It counts as lost when the TTL has passed since the last extension was asked for."""
    expires = asked + ttl
    while True:
        await asyncio.sleep(ttl / 3)
        asked = clock()
        try:
            async with asyncio.timeout_at(expires):
                if await backend.keep_alive(lease) <= 0:
                    raise LeaseLost(f"lease {lease:x} has expired")
        except TimeoutError as error:
            raise LeaseLost(f"lease {lease:x} was not renewed for {ttl} s: etcd is unavailable") from error
        except Unavailable as error:
            _log.warning("cannot renew lease %x; retrying: %s", lease, error)
            continue
        expires = asked + ttl


async def _revoke(backend: Backend, lease: int) -> None:
    """Best effort: what is not revoked expires."""
    try:
        async with asyncio.timeout(2.0):
            await backend.revoke(lease)
    except (TimeoutError, Unavailable) as error:
        _log.info("cannot revoke lease %x; it will expire: %r", lease, error)
