"""The cluster's cache of builds: layers in the image repository, by tags made of keys.

Each is an image of one layer: a node pulls it as any other, verified, and unpacked by the unpack program.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agent.build.frames import ProgramSettings
from agent.build.program.publication.image_documents import time_text
from agent.build.program.results import Layer
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest, parse_manifest
from shoal.distribution.untrusted_json import object_of, parse_object, text_of
from shoal.errors import NotFound, ShoalError
from shoal.images.json_bytes import to_bytes

if TYPE_CHECKING:
    from agent.build.program.publication.repository_upload import RepositoryUpload

_DIFF_ID, _CREATED = "shoal.build.diff-id", "shoal.build.created-ms"
_log = logging.getLogger(__name__)


def cache_tag(key: str) -> str:
    """The tag of a key."""
    return f"k-{key}"


@dataclass
class RegistryCache:
    """For one event loop. A registry that fails is asked no more: a build goes on without it."""

    settings: ProgramSettings
    _client: "RepositoryUpload | None" = field(default=None)
    _failed: bool = False

    async def find(self, key: str) -> Layer | None:
        """A layer that another build has put there."""
        if not self.settings.image_repository or self._failed:
            return None
        try:
            return self._parse(await self.client().manifest(cache_tag(key)))
        except NotFound:
            return None
        except ShoalError as error:
            _log.warning("the cache in the image repository is not used: %s", error)
            self._failed = True
            return None

    def _parse(self, content: bytes) -> Layer | None:
        manifest = parse_manifest(content)
        annotations = object_of(parse_object(content, "the manifest"), "annotations", "the manifest")
        diff_id, created = (text_of(annotations, name, "the manifest") for name in (_DIFF_ID, _CREATED))
        if not isinstance(manifest, Manifest) or len(manifest.layers) != 1 or not created.isdecimal():
            return None
        reference = f"{self.settings.image_repository}@{digest_of(content)}"
        return Layer(diff_id, None, int(created), manifest.layers[0], reference)

    async def put(self, key: str, layer: Layer, blob: Descriptor, description: str) -> None:
        """Let other nodes find a layer, whose blob is in the repository. Raises as the registry answers."""
        system, architecture, variant = self.settings.platform
        config = to_bytes(
            {
                "architecture": architecture,
                "os": system,
                **({"variant": variant} if variant else {}),
                "created": time_text(layer.created_at_ms),
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
                "history": [{"created_by": description}],
            }
        )

        async def content(offset: int) -> AsyncIterator[bytes]:
            yield config[offset:]

        described = Descriptor(OCI_CONFIG, digest_of(config), len(config))
        await self.client().put_blob(described, content)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": described.to_json(),
            "layers": [blob.to_json()],
            "annotations": {_DIFF_ID: layer.diff_id, _CREATED: str(layer.created_at_ms)},
        }
        await self.client().put_manifest(OCI_MANIFEST, to_bytes(manifest), cache_tag(key))

    def client(self) -> "RepositoryUpload":
        """The repository's client, made at its first use: it takes long to load."""
        if self._client is None:
            from agent.build.program.publication.repository_upload import RepositoryUpload

            self._client = RepositoryUpload(Path(self.settings.registries_file), self.settings.image_repository)
        return self._client

    async def aclose(self) -> None:
        """Close connections."""
        if self._client is not None:
            await self._client.aclose()
