"""A context on disk: `context.toml` and the three files of an identity."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    import tomllib

    try:
        settings = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid TOML: {error}") from None
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


def write_settings(
    directory: Path, addresses: Sequence[str], registries: Path | None, discovered: Sequence[str] = ()
) -> None:
    """Write the settings into the directory, which exists."""
    lines = [f"addresses = [{', '.join(map(_quoted, addresses))}]\n"]
    if discovered:
        lines.append(f"discovered = [{', '.join(map(_quoted, discovered))}]\n")
    if registries is not None:
        lines.append(f"registries = {_quoted(str(registries))}\n")
    write_atomically(directory / SETTINGS_FILE, "".join(lines).encode())


def _addresses(path: Path, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise InvalidInput(f'{path}: {key} must be a list of at least one "host:port"')
    return tuple(value)


def _quoted(text: str) -> str:
    """A basic string (TOML 1.0)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in escaped) + '"'
