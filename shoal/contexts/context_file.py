"""A context on disk: `context.toml` and the three files of an identity."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.errors import InvalidInput, NotFound, Unavailable
from shoal.identity.private_files import write_atomically

SETTINGS_FILE = "context.toml"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_KEYS = {"addresses", "discovered", "registries"}


@dataclass(frozen=True)
class Context:
    """How to reach one cluster.

    Attributes:
        addresses: `host:port` of managers' APIs, at least one, as the user gave them.
        discovered: the same of all managers, as the cluster reported them last.
        directory: where its identity lies: `Identity.load(context.directory)`.
        registries: file with the credentials of registries, if one is named.
    """

    name: str
    addresses: tuple[str, ...]
    directory: Path
    registries: Path | None = None
    discovered: tuple[str, ...] = ()

    @property
    def all_addresses(self) -> tuple[str, ...]:
        """Both, each once: what the user gave may be a tunnel, so it is kept and comes first."""
        return tuple(dict.fromkeys((*self.addresses, *self.discovered)))


def check_name(name: str) -> str:
    """The name as it is.

    Raises:
        InvalidInput: it is not a valid context name.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(
            f"{name!r} is not a valid context name; use 1 to 63 letters, digits, '_', '.' and '-', no sign first"
        )
    return name


def read_context(directory: Path) -> Context:
    """The context in this directory; its name is the directory's.

    Raises:
        NotFound: there is none.
        InvalidInput: its settings are damaged.
    """
    path = directory / SETTINGS_FILE
    try:
        settings = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"context {directory.name!r} not found; list contexts with `shoal context ls`") from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
    return parse_settings(settings, path)


def parse_settings(text: bytes, path: Path) -> Context:
    """The context that these settings describe; the path, which need not exist, gives its directory and name.

    Raises:
        InvalidInput: they are damaged.
    """
    settings = _as_written(text)
    if settings is None:
        settings = _parse_toml(text, path)
    unknown = settings.keys() - _KEYS
    if unknown:
        raise InvalidInput(f"{path}: unknown key {min(unknown)!r}; allowed keys are {', '.join(sorted(_KEYS))}")
    registries = settings.get("registries")
    if registries is not None and not isinstance(registries, str):
        raise InvalidInput(f"{path}: registries must be a file path")
    return Context(
        name=path.parent.name,
        addresses=_addresses(path, "addresses", settings.get("addresses")),
        discovered=_addresses(path, "discovered", settings["discovered"]) if "discovered" in settings else (),
        directory=path.parent,
        registries=None if registries is None else Path(registries).expanduser(),
    )


def _as_written(text: bytes) -> dict[str, Any] | None:
    """What `tomllib` finds, without its 5 ms, in settings as `write_settings` makes them; None: they are others."""
    found: dict[str, Any] = {}
    if not text.isascii() or b"\\" in text:
        return None
    for line in text.decode().split("\n")[:-1]:
        key, _, value = line.partition(" = ")
        is_list = value.startswith("[")
        inner = value.removeprefix("[").removesuffix("]") if is_list else value
        words = inner.removeprefix('"').removesuffix('"').split('", "')
        if key not in _KEYS or key in found or not all(word.isprintable() and '"' not in word for word in words):
            return None
        if line != f"{key} = {_array(words) if is_list else _quoted(words[0])}":
            return None
        found[key] = words if is_list else words[0]
    return found if text.endswith(b"\n") else None


def _parse_toml(text: bytes, path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid TOML: {error}") from None


def write_settings(
    directory: Path, addresses: Sequence[str], registries: Path | None, discovered: Sequence[str] = ()
) -> None:
    """Write the settings into the directory, which exists."""
    lines = [f"addresses = {_array(addresses)}\n"]
    if discovered:
        lines.append(f"discovered = {_array(discovered)}\n")
    if registries is not None:
        lines.append(f"registries = {_quoted(str(registries))}\n")
    write_atomically(directory / SETTINGS_FILE, "".join(lines).encode())


def _addresses(path: Path, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise InvalidInput(f'{path}: {key} must be a list of at least one "host:port"')
    return tuple(value)


def _array(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _quoted(text: str) -> str:
    """A basic string (TOML 1.0)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'
