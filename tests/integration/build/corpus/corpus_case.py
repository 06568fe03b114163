"""One Dockerfile of the corpus, with its context and what the image has to be."""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Content = bytes | str | tarfile.TarInfo


@dataclass(frozen=True)
class Case:
    """A build.

    Attributes:
        dockerfile: `$BASE` is an image of busybox.
        context: contents by path; a path that ends with "/" is a directory.
        files: what the image has beside its base, by path, as of `TreeFile.described`; None: the base has it, the image
            has not. Directories of the base that the build writes into are left out.
        settings: of the image; those that the case does not name are not compared.
        options: of `BuildStart`.
        secrets: by id.
    """

    name: str
    dockerfile: str
    files: Mapping[str, str | None] = field(default_factory=dict)
    context: Mapping[str, Content] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)


def link(target: str) -> tarfile.TarInfo:
    """A symbolic link of a context."""
    info = tarfile.TarInfo("link")
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    return info


def hard_link(target: str) -> tarfile.TarInfo:
    """A hard link of a context to an entry before it."""
    info = tarfile.TarInfo("link")
    info.type, info.linkname = tarfile.LNKTYPE, target
    return info


def file_of(mode: int) -> tarfile.TarInfo:
    """An empty file with a mode."""
    info = tarfile.TarInfo("file")
    info.mode = mode
    return info
