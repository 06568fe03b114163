"""Sends the contents of secrets and configs to agents: decrypted just before sending, and kept nowhere."""

import logging
from collections.abc import Iterator, Mapping

from manager.file_contents.content_codec import ContentCodec
from manager.file_contents.file_kinds import SECRETS
from manager.store.tables import View
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.file_pb2 import FileContent, FileVersion
from shoal.errors import InvalidInput

MESSAGE_BYTES = 4 << 20
"""Contents in one message, far below gRPC's limit."""

_log = logging.getLogger(__name__)


class FileDelivery:
    """Decrypts versions for the sessions.

    Args:
        view: has the files of the versions.
        secrets: decrypts those of secrets.
    """

    def __init__(self, *, view: View, secrets: ContentCodec) -> None:
        self._view = view
        self._secrets = secrets

    def messages(self, versions: Mapping[str, FileVersion], revision: int) -> Iterator[Assignments]:
        """Increments with these contents, by `FileContent.key`. One that cannot be decrypted is logged."""
        batch, size = Assignments(store_revision=revision), 0
        for key, version in versions.items():
            content = self._decoded(key, version)
            if content is None:
                continue
            if size and size + len(content) > MESSAGE_BYTES:
                yield batch
                batch, size = Assignments(store_revision=revision), 0
            batch.files.append(FileContent(key=key, content=content))
            size += len(content)
        if size:
            yield batch

    def _decoded(self, key: str, version: FileVersion) -> bytes | None:
        if not key.startswith(f"{SECRETS.name}/"):
            return version.content
        file = self._view.secrets.get(version.file_id)
        if file is None:
            return None  # just removed
        try:
            return self._secrets.decode(file, version)
        except InvalidInput as error:
            _log.error("cannot decrypt a secret that a node needs: %s", error)
            return None
