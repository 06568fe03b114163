"""Keeps a lease alive while a block runs; if it is lost, the block is cancelled."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from manager.store.backend import Backend
from shoal.errors import Unavailable
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)

TTL_SECONDS = 3
"""The maximum time until the loss of a manager is detected. The lease is renewed three times in that time.
etcd grants no less than one and a half of its election timeouts."""

Clock = Callable[[], float]


class LeaseLost(Exception):
    """The lease has expired, or may have: its keys may be deleted."""


@asynccontextmanager
async def held_lease(backend: Backend, *, ttl_seconds: int = TTL_SECONDS) -> AsyncGenerator[int]:
    """Grant a lease and keep it alive; revoke it at the end, so that its keys vanish at once.

    Raises:
        ExceptionGroup: with LeaseLost; the block was cancelled for it.
        Unavailable: no lease was granted.
    """
    clock = asyncio.get_running_loop().time
    requested_at = clock()
    lease = await backend.grant(ttl_seconds)
    try:
        async with TaskGroup() as group:
            renewal = group.create_task(
                _keep_alive(backend, lease, ttl_seconds, requested_at, clock), name=f"lease {lease:x}"
            )
            try:
                yield lease
            finally:
                renewal.cancel()
    finally:
        await _revoke(backend, lease)


async def _keep_alive(backend: Backend, lease: int, ttl: int, requested_at: float, clock: Clock) -> None:
    """Renew the lease until cancelled. It counts as lost when the TTL has passed since the last successful request."""
    expires = requested_at + ttl
    while True:
        await asyncio.sleep(min(ttl / 3, max(0.0, expires - clock())))
        requested_at = clock()
        if requested_at >= expires:
            raise LeaseLost(_not_renewed(lease, ttl))
        try:
            async with asyncio.timeout_at(expires):
                if await backend.keep_alive(lease) <= 0:
                    raise LeaseLost(f"lease {lease:x} has expired")
        except TimeoutError as error:
            raise LeaseLost(_not_renewed(lease, ttl)) from error
        except Unavailable as error:
            _log.warning("cannot renew lease %x; retrying: %s", lease, error)
            continue
        expires = requested_at + ttl


def _not_renewed(lease: int, ttl: int) -> str:
    return f"lease {lease:x} was not renewed for {ttl} s: etcd is unavailable"


async def _revoke(backend: Backend, lease: int) -> None:
    """Best effort: a lease that is not revoked expires."""
    try:
        async with asyncio.timeout(2.0):
            await backend.revoke(lease)
    except (TimeoutError, Unavailable) as error:
        _log.info("cannot revoke lease %x; it will expire: %r", lease, error)
