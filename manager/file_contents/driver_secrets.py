"""Secrets for CSI drivers: those that a volume names, and their contents for one call."""

from collections.abc import Iterator, Mapping

from manager.file_contents.content_codec import ContentCodec
from manager.store.tables import View
from shoal.api.v1.file_pb2 import File, FileVersion
from shoal.api.v1.volume_pb2 import Volume, VolumeSecret
from shoal.errors import Refused, Unavailable


def newest_secrets(view: View, volume: Volume) -> Iterator[tuple[VolumeSecret, File, FileVersion]]:
    """The newest version of each secret that the volume names; missing ones are left out. Pure."""
    for named in volume.spec.secrets:
        file = view.secrets.get(named.source)
        version = view.secret_versions.get(f"{file.meta.id}/{file.version}") if file is not None else None
        if file is not None and version is not None:
            yield named, file, version


def volumes_using(view: View, secret_id: str) -> Iterator[str]:
    """Ids of the volumes that name a secret. Pure."""
    for volume_id, volume in view.volumes.items():
        if any(each.source == secret_id for each in volume.spec.secrets):
            yield volume_id


class DriverSecrets:
    """Decrypts a volume's secrets for one call.

    Args:
        contents: how secrets are stored.
    """

    def __init__(self, contents: ContentCodec) -> None:
        self._contents = contents

    def values(self, view: View, volume: Volume) -> Mapping[str, str]:
        """The secrets by the driver's own keys.

        Raises:
            Unavailable: a secret is missing. Refused: one is not text. InvalidInput: one cannot be decrypted.
        """
        found: dict[str, str] = {}
        for named, file, version in newest_secrets(view, volume):
            try:
                found[named.key] = self._contents.decode(file, version).decode()
            except UnicodeDecodeError:  # whose message would contain the bytes
                raise Refused(f"secret {named.name} must be UTF-8 text to be passed to a volume driver") from None
        if missing := [each.name for each in volume.spec.secrets if each.key not in found]:
            raise Unavailable(f"secret {missing[0]} not found")
        return found
