"""The two kinds of files, secrets and configs: where their records are, and where a spec refers to them. Pure."""

from collections.abc import Callable, Iterator, Mapping, MutableSequence
from dataclasses import dataclass

from manager.store.kinds import CONFIG, CONFIG_VERSION, SECRET, SECRET_VERSION, Kind
from manager.store.tables import View
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.file_pb2 import File, FileReference, FileVersion


@dataclass(frozen=True)
class FileKind:
    """Secrets, or configs.

    Attributes:
        name: "secret" or "config", for users and for name records.
        directory: where a file is mounted when its reference gives no absolute path.
        files, versions: the records by identifier; a version's is "<id>/<version>".
        references: the part of a container's spec that names them.
    """

    name: str
    directory: str
    record_kind: Kind[File]
    version_record_kind: Kind[FileVersion]
    files: Callable[[View], Mapping[str, File]]
    versions: Callable[[View], Mapping[str, FileVersion]]
    references: Callable[[ContainerSpec], MutableSequence[FileReference]]

    def named(self, view: View, name: str) -> File | None:
        """The file that has this name."""
        record = view.names.get(f"{self.name}/{name}")
        return self.files(view).get(record.meta.id) if record is not None else None

    def content_key(self, reference: FileReference) -> str:
        """The key of a resolved reference's content on its way to an agent."""
        return f"{self.name}/{version_key(reference)}"


SECRETS = FileKind(
    name="secret",
    directory="/run/secrets",
    record_kind=SECRET,
    version_record_kind=SECRET_VERSION,
    files=lambda view: view.secrets,
    versions=lambda view: view.secret_versions,
    references=lambda container: container.secrets,
)
CONFIGS = FileKind(
    name="config",
    directory="/",
    record_kind=CONFIG,
    version_record_kind=CONFIG_VERSION,
    files=lambda view: view.configs,
    versions=lambda view: view.config_versions,
    references=lambda container: container.configs,
)
FILE_KINDS = (SECRETS, CONFIGS)


def version_key(reference: FileReference) -> str:
    """The identifier of the version that a resolved reference names."""
    return f"{reference.source}/{reference.version}"


def needed_versions(view: View, container: ContainerSpec) -> Iterator[tuple[str, FileVersion]]:
    """The file versions that a container needs, with their content keys. Missing ones are left out."""
    for kind in FILE_KINDS:
        for reference in kind.references(container):
            version = kind.versions(view).get(version_key(reference))
            if version is not None:
                yield kind.content_key(reference), version
