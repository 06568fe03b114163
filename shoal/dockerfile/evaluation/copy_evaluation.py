"""COPY and ADD with their variables replaced. Pure. Dockerfile reference, "COPY", "ADD"."""

import re
from collections.abc import Callable
from dataclasses import replace

from shoal.dockerfile.evaluation.add_sources import is_git, is_remote
from shoal.dockerfile.evaluation.build_sources import BuildSource
from shoal.dockerfile.evaluation.build_steps import CopyAction, InlineFile
from shoal.dockerfile.expansion import Expander
from shoal.dockerfile.heredocs import Heredoc
from shoal.dockerfile.image_settings import absolute_path
from shoal.dockerfile.instructions import Add, Copy, CopyFlags
from shoal.errors import InvalidInput

_OCTAL_MODE = re.compile(r"[0-7]{1,5}")
_MAX_MODE = 0o7777
_SYMBOLIC_MODE = re.compile(r"[ugoa]*(?:[-+=][rwxXst]*)+(?:,[ugoa]*(?:[-+=][rwxXst]*)+)*")
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_NUMERIC_OWNER = re.compile(r"[0-9]+(?::[0-9]+)?", re.ASCII)
_DIRECTORY_SUFFIXES = ("/", "/.", "/..")


def copy_action(instruction: Copy, directory: str, expander: Expander, source: BuildSource) -> CopyAction:
    """COPY. Raises InvalidInput: see `_check`."""
    paths = _expand_all(instruction.sources, expander)
    action = CopyAction(
        is_add=False,
        source=source if paths else None,
        paths=paths,
        destination=_destination(instruction.destination, directory, expander),
        files=tuple(_file(heredoc, expander) for heredoc in instruction.heredocs),
        flags=_flags(instruction.flags, expander),
    )
    _check("COPY", action)
    return action


def add_action(
    instruction: Add, directory: str, expander: Expander, find_source: Callable[[str], BuildSource]
) -> CopyAction:
    """ADD. Raises InvalidInput: see `_check`."""
    sources = _expand_all(instruction.sources, expander)
    paths = tuple(source for source in sources if not is_remote(source))
    action = CopyAction(
        is_add=True,
        source=find_source("") if paths else None,
        paths=paths,
        destination=_destination(instruction.destination, directory, expander),
        files=tuple(_file(heredoc, expander) for heredoc in instruction.heredocs),
        remotes=tuple(filter(is_remote, sources)),
        flags=_flags(instruction.flags, expander),
    )
    _check("ADD", action)
    _check_checksum(action)
    return action


def _expand_all(texts: tuple[str, ...], expander: Expander) -> tuple[str, ...]:
    expanded = tuple(map(expander.word, texts))
    if not all(expanded):
        empty = texts[expanded.index("")]
        raise InvalidInput(f"the source {empty[:80]!r} is empty once its variables are replaced")
    return expanded


def _destination(text: str, directory: str, expander: Expander) -> str:
    """An empty one is the working directory."""
    expanded = expander.word(text) or "."
    path = absolute_path(directory, expanded)
    is_directory = expanded in (".", "..") or expanded.endswith(_DIRECTORY_SUFFIXES)
    return f"{path.rstrip('/')}/" if is_directory else path


def _file(heredoc: Heredoc, expander: Expander) -> InlineFile:
    return InlineFile(heredoc.name, expander.heredoc(heredoc.text) if heredoc.expands else heredoc.text)


def _flags(flags: CopyFlags, expander: Expander) -> CopyFlags:
    chmod = expander.word(flags.chmod)
    if chmod and not _is_mode(chmod):
        raise InvalidInput(
            f"invalid chmod parameter: '{chmod[:40]}'. it should be octal string and between 0 and 07777"
        )
    chown = expander.word(flags.chown)
    if flags.link and chown and not _NUMERIC_OWNER.fullmatch(chown):
        raise InvalidInput(
            f"--link needs numbers in --chown, not '{chown[:40]}': it has no /etc/passwd to look up names"
        )
    return replace(
        flags,
        chown=chown,
        chmod=chmod,
        checksum=expander.word(flags.checksum),
        excludes=tuple(map(expander.word, flags.excludes)),
    )


def _is_mode(text: str) -> bool:
    if _OCTAL_MODE.fullmatch(text):
        return int(text, 8) <= _MAX_MODE
    return _SYMBOLIC_MODE.fullmatch(text) is not None


def _check(name: str, action: CopyAction) -> None:
    """Several sources need a directory."""
    count = len(action.paths) + len(action.files) + len(action.remotes)
    if count > 1 and not action.destination.endswith("/"):
        text = "with more than one source file, the destination must be a directory and end with a /"
        raise InvalidInput(f"When using {name} {text}")


def _check_checksum(action: CopyAction) -> None:
    checksum = action.flags.checksum
    if not checksum:
        return
    if len(action.paths) + len(action.files) + len(action.remotes) != 1:
        raise InvalidInput("checksum can't be specified for multiple sources")
    if not action.remotes:
        raise InvalidInput("checksum requires HTTP(S) or Git sources")
    pattern, expected = (_COMMIT, "a git commit") if is_git(action.remotes[0]) else (_CHECKSUM, "sha256:… or sha512:…")
    if not pattern.fullmatch(checksum):
        raise InvalidInput(f"invalid checksum {checksum[:80]!r}: must be {expected}")
