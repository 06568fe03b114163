"""CSI volumes by node: which ones each node attaches, waits for, or releases."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from manager.file_contents.driver_secrets import newest_secrets, volumes_using
from manager.file_contents.file_kinds import SECRETS
from manager.store.changes import Change
from manager.store.tables import View
from shoal.api.v1.dispatcher_pb2 import AttachmentSecret, VolumeAttachment
from shoal.api.v1.file_pb2 import File, FileVersion
from shoal.api.v1.volume_pb2 import VolumePublication, VolumeStatus


class Attachments:
    """An index of the volumes' publications by node, kept in sync with the store."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._by_node: defaultdict[str, set[str]] = defaultdict(set)
        for status in view.volume_status.values():
            for each in status.publications:
                self._by_node[each.node_id].add(status.volume_id)

    def update(self, change: Change) -> set[str]:
        """Apply the change of a volume's status; returns the nodes that it may affect."""
        affected: set[str] = set()
        for status in (change.old, change.new):
            if isinstance(status, VolumeStatus):
                affected.update(each.node_id for each in status.publications)
        for node_id in affected:
            if self.attachment(node_id, change.identifier) is not None:
                self._by_node[node_id].add(change.identifier)
            else:
                self._by_node[node_id].discard(change.identifier)
        return affected

    def update_secret(self, change: Change) -> Iterator[tuple[str, Collection[str]]]:
        """The volumes whose drivers get another version of a changed secret, with their nodes."""
        old, new = change.old, change.new
        if not isinstance(new, File) or (isinstance(old, File) and old.version == new.version):
            return
        for volume_id in volumes_using(self._view, change.identifier):
            status = self._view.volume_status.get(volume_id)
            yield volume_id, [each.node_id for each in status.publications] if status is not None else ()

    def files(self, node_id: str, volume_ids: Iterable[str]) -> dict[str, FileVersion]:
        """The secrets for the drivers of these volumes on the node, by `FileContent.key`; for usable volumes only."""
        found: dict[str, FileVersion] = {}
        for volume_id in volume_ids:
            record, volume = self.attachment(node_id, volume_id), self._view.volumes.get(volume_id)
            if record is not None and volume is not None and record.secrets:
                found.update({_content_key(file): version for _, file, version in newest_secrets(self._view, volume)})
        return found

    def on_node(self, node_id: str) -> Collection[str]:
        """Ids of the node's volumes."""
        return self._by_node.get(node_id, ())

    def attachment(self, node_id: str, volume_id: str) -> VolumeAttachment | None:
        """A volume as it is sent to the node; None if it is not."""
        status, volume = self._view.volume_status.get(volume_id), self._view.volumes.get(volume_id)
        if status is None or volume is None:
            return None
        published = next((each for each in status.publications if each.node_id == node_id), None)
        if published is None:
            return None
        attachment = VolumeAttachment(
            volume_id=volume_id,
            name=volume.spec.name,
            driver=volume.spec.driver,
            publication_number=published.number,
            state=_visible_state(published.state),
            problem=published.problem,
            driver_volume_id=status.driver_volume_id,
            access_mode=volume.spec.access_mode,
        )
        if attachment.state == VolumePublication.READY:
            attachment.volume_context.update(status.context)
            attachment.publish_context.update(published.context)
            attachment.secrets.extend(
                AttachmentSecret(key=named.key, content_key=_content_key(file), name=named.name)
                for named, file, _ in newest_secrets(self._view, volume)
            )
        return attachment


def _content_key(file: File) -> str:
    return f"{SECRETS.name}/{file.meta.id}/{file.version}"


def _visible_state(state: VolumePublication.State.ValueType) -> VolumePublication.State.ValueType:
    """For the node, a volume that is being attached is waiting."""
    return VolumePublication.WAITING if state == VolumePublication.ATTACHING else state
