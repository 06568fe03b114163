"""Clients of hostile registries: what they report, and with whose password."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from agent.network.attachments.namespaces import create_namespace
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Descriptor
from shoal.distribution.registries import Registries, RegistrySettings
from shoal.distribution.registry_client import Distribution, Repository
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.uploads import Uploader
from shoal.errors import ShoalError
from shoal.image_reference import parse
from tests.integration.network.netns_hosts import inside, run

T = TypeVar("T")
ONCE = RetryPolicy(attempts=1, connect_seconds=2.0, idle_seconds=5.0, response_seconds=5.0)
LAYER = Descriptor("", digest_of(b"layer"), 5)
DOMAIN = "registry.example"
Work = Callable[[Repository], Awaitable[object]]


async def read_layer(repository: Repository) -> bytes:
    """All of a blob."""
    async with repository.blob_stream(LAYER) as stream:
        return b"".join([chunk async for chunk in stream.chunks])


async def upload(repository: Repository) -> None:
    """A blob into the repository."""

    async def content(_: int):  # type: ignore[no-untyped-def]  # an asynchronous generator
        yield b"layer"

    await Uploader(repository).put_blob(LAYER, content)


def password_file(directory: Path) -> Path:
    """The password of user `deploy`: `open sesame`."""
    path = directory / "password"
    path.touch(mode=0o600)
    path.write_text("open sesame")
    return path


def known(
    *endpoints: str, password: Path | None = None, ca_file: Path | None = None, allowed: Sequence[str] = ()
) -> Registries:
    """Settings of the registry `registry.example`."""
    username = "deploy" if password else ""
    return Registries({DOMAIN: RegistrySettings(DOMAIN, endpoints, ca_file, username, password, frozenset(allowed))})


async def outcome(work: Work, registries: Registries, policy: RetryPolicy = ONCE) -> ShoalError:
    """The error that the user gets."""
    async with Distribution(registries, policy=policy) as distribution:
        with pytest.raises(ShoalError) as caught:
            await work(distribution.repository(parse(f"{DOMAIN}/a:1")))
    return caught.value


async def result(work: Callable[[Repository], Awaitable[T]], registries: Registries, policy: RetryPolicy = ONCE) -> T:
    """What it gives."""
    async with Distribution(registries, policy=policy) as distribution:
        return await work(distribution.repository(parse(f"{DOMAIN}/a:1")))


@contextmanager
def own_network(*addresses: str):  # type: ignore[no-untyped-def]
    """The calling thread is in a network namespace where this host has these addresses beside loopback's."""
    descriptor, messages = create_namespace()
    messages.close()
    run(descriptor, "ip", "link", "set", "lo", "up")
    for address in set(addresses) - {"127.0.0.1", "::1"}:
        width = 128 if ":" in address else 32
        run(descriptor, "ip", "address", "add", f"{address}/{width}", "dev", "lo", *(["nodad"] if width == 128 else []))
    with inside(descriptor):
        yield


def run_inside(work: Coroutine[Any, Any, T], *addresses: str) -> T:
    """Run it in such a network."""
    with own_network(*addresses):
        return asyncio.run(work)
