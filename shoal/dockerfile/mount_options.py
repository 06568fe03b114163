"""Options of `RUN --mount`: keys, defaults and faults. Pure. Dockerfile reference, "RUN --mount"."""

import csv
import posixpath
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches

from shoal.dockerfile.run_mounts import BindMount, CacheMount, RunMount, SecretMount, SshMount, TmpfsMount
from shoal.errors import Fault, InvalidInput
from shoal.spec_parsers.go_booleans import GO_BOOLEANS
from shoal.spec_parsers.units import parse_bytes

MAX_MOUNTS = 128
"""Of one instruction."""

_SHOWN_FAULTS = 10
_DEFAULT_TYPE = "bind"
_SHARING = ("shared", "private", "locked")
_MAX_ID = (1 << 32) - 2
_MAX_MODE = 0o7777
_ALIASES = {
    "dst": "target",
    "destination": "target",
    "src": "source",
    "readonly": "ro",
    "readwrite": "rw",
}
_OWNER = ("mode", "uid", "gid")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "bind": ("target", "source", "from", "ro", "rw"),
    "cache": ("target", "source", "from", "ro", "rw", "id", "sharing", *_OWNER),
    "tmpfs": ("target", "size"),
    "secret": ("target", "id", "env", "required", *_OWNER),
    "ssh": ("target", "id", "required", *_OWNER),
}
_BARE = ("ro", "rw", "required")
_EVERY_KEY = ("type", *_ALIASES, *{key: None for keys in _KEYS.values() for key in keys})

Expand = Callable[[str], str]


def check_mounts(texts: Sequence[str]) -> None:
    """Whether these are mounts, as far as they say it without the values of variables.

    Raises:
        InvalidInput: with every fault, at most ten.
    """
    if len(texts) > MAX_MOUNTS:
        raise InvalidInput(f"has {len(texts)} mounts; the maximum is {MAX_MOUNTS}")
    faults: list[Fault] = []
    for text in texts:
        try:
            if "$" in text:
                _split(text)
            else:
                parse_mount(text, str)
        except InvalidInput as error:
            faults.extend(error.faults)
        if len(faults) >= _SHOWN_FAULTS:
            break
    if faults:
        raise InvalidInput(faults)


def parse_mount(text: str, expand: Expand) -> RunMount:
    """One mount.

    Args:
        expand: replaces variables in a value; `from` has none, since a stage must be known before any value is.

    Raises:
        InvalidInput: an unknown type or key, a value that is none, a target that is missing.
    """
    values = {key: value if key == "from" else expand(value) for key, value in _split(text).items()}
    kind = values.pop("type", _DEFAULT_TYPE).lower()
    if kind not in _KEYS:
        raise InvalidInput(f'unsupported mount type "{kind}"{_suggestion(kind, tuple(_KEYS))}')
    for key in values:
        if key not in _KEYS[kind]:
            raise InvalidInput(f"unexpected key '{key}' for mount type '{kind}'")
    return _PARSERS[kind](_Options(values))


def mount_source(text: str) -> str | None:
    """The stage, image or context that a mount has its files from; empty: the context; None: from nowhere.

    A mount whose type is a variable's may be from the context.
    """
    values = _split(text)
    kind = values.get("type", _DEFAULT_TYPE).lower()
    if kind == "bind" or "$" in kind:
        return values.get("from", "")
    return values.get("from") or None


def _split(text: str) -> dict[str, str]:
    """Keys in their canonical form; comma-separated, with quotes as in CSV."""
    values: dict[str, str] = {}
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise InvalidInput(f"{text[:80]!r} must be a comma-separated list of key=value") from error
    for field in fields:
        key, equals, value = field.partition("=")
        key = key.lower()
        if key not in _EVERY_KEY:
            raise InvalidInput(f"unexpected key '{key[:40]}' in '{field[:80]}'{_suggestion(key, _EVERY_KEY)}")
        key = _ALIASES.get(key, key)
        if not equals and key not in _BARE:
            raise InvalidInput(f"invalid field '{field[:80]}' must be a key=value pair")
        if key == "from" and "$" in value:
            raise InvalidInput("'from' doesn't support variable expansion, define alias stage instead")
        values[key] = value if equals else "true"
    return values


class _Options:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, key: str, default: str = "") -> str:
        return self._values.get(key) or default

    def boolean(self, key: str) -> bool:
        value = self._values.get(key, "false")
        if value not in GO_BOOLEANS:
            raise InvalidInput(f"invalid value for {key}: {value[:40]!r}; use true or false")
        return GO_BOOLEANS[value]

    def number(self, key: str, default: int, *, base: int = 10, maximum: int = _MAX_ID) -> int:
        value = self._values.get(key)
        if value is None:
            return default
        try:
            number = int(value[:20], base) if value.isascii() and value.isalnum() else -1
        except ValueError:
            number = -1
        if not 0 <= number <= maximum:
            expected = f"an octal number up to {maximum:o}" if base == 8 else f"a number up to {maximum}"
            raise InvalidInput(f"invalid value {value[:40]!r} for {key}: must be {expected}")
        return number

    def mode(self, default: int) -> int:
        return self.number("mode", default, base=8, maximum=_MAX_MODE)

    def owner(self) -> tuple[int, int]:
        return self.number("uid", 0), self.number("gid", 0)

    def target(self, default: str = "") -> str:
        target = self.text("target", default)
        if not target:
            raise InvalidInput("the mount needs a target")
        if posixpath.normpath(f"/{target}").strip("/") == "" and target.startswith("/"):
            raise InvalidInput(f'invalid mount target "{target}"')
        return target

    def writable(self, default: bool) -> bool:
        if "rw" in self._values and "ro" in self._values:
            raise InvalidInput("use either rw or ro")
        if "rw" in self._values:
            return self.boolean("rw")
        return not self.boolean("ro") if "ro" in self._values else default


def _bind(options: _Options) -> RunMount:
    return BindMount(
        options.target(default="."),
        options.text("source", "/"),
        options.text("from"),
        writable=options.writable(default=False),
    )


def _cache(options: _Options) -> RunMount:
    target, sharing = options.target(), options.text("sharing", "shared")
    if sharing not in _SHARING:
        raise InvalidInput(f"unsupported sharing value {sharing[:40]!r}{_suggestion(sharing, _SHARING)}")
    uid, gid = options.owner()
    return CacheMount(
        target,
        options.text("id") or posixpath.normpath(target),
        sharing,
        options.text("source", "/"),
        options.text("from"),
        read_only=not options.writable(default=True),
        mode=options.mode(0o755),
        uid=uid,
        gid=gid,
    )


def _tmpfs(options: _Options) -> RunMount:
    size = options.text("size")
    return TmpfsMount(options.target(), parse_bytes(size) if size else 0)


def _secret(options: _Options) -> RunMount:
    target, variable = options.text("target"), options.text("env")
    secret_id = options.text("id") or posixpath.basename(target)
    if not secret_id:
        raise InvalidInput("a secret mount needs an id or a target")
    if not target and not variable:
        target = f"/run/secrets/{secret_id}"
    required, (uid, gid) = options.boolean("required"), options.owner()
    return SecretMount(secret_id, target, variable, required, options.mode(0o400), uid, gid)


def _ssh(options: _Options) -> RunMount:
    required, (uid, gid) = options.boolean("required"), options.owner()
    return SshMount(options.text("id", "default"), options.text("target"), required, options.mode(0o600), uid, gid)


def _suggestion(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, 1, 0.6)
    return f" (did you mean {close[0]}?)" if close else ""


_PARSERS: Mapping[str, Callable[[_Options], RunMount]] = {
    "bind": _bind,
    "cache": _cache,
    "tmpfs": _tmpfs,
    "secret": _secret,
    "ssh": _ssh,
}
