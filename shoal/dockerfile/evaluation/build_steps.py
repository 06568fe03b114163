"""Steps of a stage: what is done to its files, and what its history says. Values without places in the file: the same
action in two stages is equal, and is done once.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from shoal.distribution.manifests import Platform
from shoal.dockerfile.evaluation.build_sources import BuildSource
from shoal.dockerfile.instructions import CopyFlags, Origin
from shoal.dockerfile.run_mounts import RunMount

HISTORY_COMMENT = "buildkit.dockerfile.v0"
"""Clients tell an image of BuildKit by it."""


class HistoryLine(NamedTuple):
    """One line of an image's history.

    Attributes:
        is_empty: no layer belongs to it.
    """

    created_by: str
    is_empty: bool = True
    comment: str = HISTORY_COMMENT


class InlineFile(NamedTuple):
    """A here-document that is a file."""

    name: str
    content: str


class SourcedMount(NamedTuple):
    """A mount with an absolute target; `source` is None where it has no files from elsewhere."""

    mount: RunMount
    source: BuildSource | None = None


@dataclass(frozen=True, slots=True)
class RunAction:
    """A command.

    Attributes:
        environment: by name; ARGs are among them.
        proxies: more variables, which no cache key has.
        scripts: files that are mounted at `SCRIPT_DIRECTORY`.
    """

    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    directory: str
    user: str
    platform: Platform
    mounts: tuple[SourcedMount, ...] = ()
    scripts: tuple[InlineFile, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    proxies: tuple[tuple[str, str], ...] = ()


SCRIPT_DIRECTORY = "/dev/pipes"
"""Where BuildKit has here-documents that begin with `#!`."""


@dataclass(frozen=True, slots=True)
class CopyAction:
    """COPY, or ADD.

    Attributes:
        source: of `paths`; None if there are none.
        paths: may have wildcards.
        remotes: URLs and git repositories.
        destination: absolute; it ends with a slash where it is written as a directory.
    """

    is_add: bool
    source: BuildSource | None
    paths: tuple[str, ...]
    destination: str
    files: tuple[InlineFile, ...] = ()
    remotes: tuple[str, ...] = ()
    flags: CopyFlags = field(default_factory=CopyFlags)


@dataclass(frozen=True, slots=True)
class DirectoryAction:
    """WORKDIR: a directory that is made if it does not exist.

    Attributes:
        user: owns it.
    """

    path: str
    user: str


Action = RunAction | CopyAction | DirectoryAction


class Step(NamedTuple):
    """One instruction after evaluation.

    Attributes:
        action: None: it changes the configuration alone.
    """

    origin: Origin
    history: HistoryLine
    action: Action | None = None
