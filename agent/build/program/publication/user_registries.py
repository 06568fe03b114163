"""Registries with the credentials of the user who builds: private base images, and names to push to. Imports httpx."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agent.build.frames import ProgramSettings
from shoal.api.v1.builds_pb2 import RegistryCredentials
from shoal.distribution.manifests import Descriptor, Manifest, Platform
from shoal.distribution.registries import Registries, read_registries
from shoal.distribution.registry_client import Distribution
from shoal.distribution.retry_policy import RetryPolicy
from shoal.errors import NotFound
from shoal.image_reference import parse
from shoal.images.image_contents import read_contents
from shoal.images.image_copy import ImageCopy
from shoal.images.image_repository import ImageRepository
from shoal.images.progress import LayerProgress

_POLICY = RetryPolicy()


class UserRegistries:
    """Calls raise NotFound, Unavailable, Unauthenticated, PermissionDenied: as registries answer."""

    def __init__(self, settings: ProgramSettings, credentials: Mapping[str, RegistryCredentials]) -> None:
        own = read_registries(Path(settings.registries_file))
        self._user = Distribution(with_logins(own, credentials), policy=_POLICY)
        self._own = Distribution(own, policy=_POLICY)
        self._pool = ImageRepository(self._own, settings.image_repository)
        self._repository = settings.image_repository
        self._platform = Platform(*settings.platform)

    async def aclose(self) -> None:
        """Close connections."""
        await self._user.aclose()
        await self._own.aclose()

    async def fetch(self, reference: str) -> str:
        """Copy an image into the cluster's image repository; a reference of it there, by digest."""
        parsed = parse(reference)
        pulled = await self._pool.pull(self._user.repository(parsed), parsed, _ignore, platform=self._platform)
        return f"{self._repository}@{pulled.digest}"

    async def pin(self, reference: str) -> str:
        """A reference with the digest of its manifest."""
        parsed = parse(reference).with_default_tag()
        return str(parsed.with_digest(await self._user.repository(parsed).manifest_digest(parsed.target)))

    async def stored(self, reference: str) -> str:
        """A reference to the same image in the cluster's image repository, where that has it; else this one.

        Args:
            reference: by digest; nothing but the repository may have what was built or loaded under its name.
        """
        digest = parse(reference).digest
        try:
            await self._pool.repository.manifest_digest(digest)
        except NotFound:
            return reference
        return f"{self._repository}@{digest}"

    async def documents(self, reference: str) -> tuple[Manifest, bytes]:
        """Manifest and configuration of an image. Raises InvalidInput: it is none."""
        parsed = parse(reference)
        repository = self._user.repository(parsed)
        contents = await read_contents(repository, parsed.target, self._platform)
        manifest = contents.manifests[0].manifest
        return manifest, await repository.blob(manifest.config)

    async def copy_layers(self, reference: str, blobs: Sequence[Descriptor]) -> None:
        """Make sure that layers of an image are in the cluster's image repository."""
        source = self._user.repository(parse(reference))
        await ImageCopy(source, self._pool.repository, _ignore, policy=_POLICY).copy_blobs(blobs)

    async def push(self, digest: str, names: Iterable[str]) -> None:
        """Copy an image of the repository under names elsewhere."""
        for name in names:
            parsed = parse(name)
            await self._pool.push(digest, self._user.repository(parsed), parsed.tag, _ignore)


def with_logins(registries: Registries, credentials: Mapping[str, RegistryCredentials]) -> Registries:
    """The same with a user's credentials, by domain."""
    for domain, each in credentials.items():
        registries = registries.with_login(domain, each.username, each.password, identity_token=each.identity_token)
    return registries


def _ignore(_: LayerProgress) -> None:
    return None
