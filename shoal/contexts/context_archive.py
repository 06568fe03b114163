"""Export and import: a context as an uncompressed tar of its four files, readable by its owner only.

What is read in may come from anywhere: only the four names, of plain files of bounded size, are looked at.
"""

import io
import tarfile
from pathlib import Path

from shoal.contexts import context_file
from shoal.contexts.context_file import SETTINGS_FILE, Context
from shoal.contexts.context_store import ContextStore
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Unavailable
from shoal.identity.identity import CA_FILE, CERTIFICATE_FILE, KEY_FILE, Identity
from shoal.identity.private_files import write_atomically

MAX_FILE_BYTES = 64 * 1024

_FILES = (SETTINGS_FILE, CA_FILE, CERTIFICATE_FILE, KEY_FILE)


def export_context(chosen: Context, path: Path) -> None:
    """Write the context to a file with mode 0600. It holds the private key: who has it is the admin.

    Raises:
        AlreadyExists: the file exists.
        NotFound, Unavailable: a file of the context cannot be read, or this one not written.
    """
    if path.exists():
        raise AlreadyExists(f"{path} already exists; choose another file")
    try:
        packed = _pack({name: (chosen.directory / name).read_bytes() for name in _FILES})
    except OSError as error:
        raise Unavailable(f"cannot read the context {chosen.name!r}: {error}") from error
    try:
        write_atomically(path, packed)
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}") from error


def import_context(contexts: ContextStore, name: str, path: Path) -> Context:
    """Make a context from such a file. The path of a registries file stays as it was.

    Raises:
        NotFound, Unavailable: the file cannot be read.
        InvalidInput: it is not an exported context.
        AlreadyExists: the name is taken.
    """
    files = _unpack(path)
    settings = context_file.parse_settings(files[SETTINGS_FILE], path / SETTINGS_FILE)
    identity = Identity(certificate=files[CERTIFICATE_FILE], key=files[KEY_FILE], ca=files[CA_FILE])
    return contexts.create(name, identity, settings.addresses, registries=settings.registries)


def _pack(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _unpack(path: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(path, mode="r:") as archive:
            files = {name: _member(archive, name) for name in _FILES}
    except FileNotFoundError:
        raise NotFound(f"{path} not found") from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
    except (tarfile.TarError, KeyError):
        raise InvalidInput(f"{path} is not an exported context; create one with `shoal context export`") from None
    return files


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    entry = archive.getmember(name)
    file = archive.extractfile(entry) if entry.isreg() and entry.size <= MAX_FILE_BYTES else None
    if file is None:
        raise KeyError(name)
    return file.read()
