"""Which images are on this host, by reference and by digest; kept in memory and in `references.json`."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from agent.images.content import Content
from agent.worker.seams import Image, ImageConfig
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.distribution.image_config import ParsedConfig, parse_config
from shoal.distribution.manifests import Manifest, parse_manifest
from shoal.errors import InvalidInput, ShoalError
from shoal.image_reference import parse

_NS_PER_MS = 1_000_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """An image on this host.

    Attributes:
        target: digest that its tag named, of an index where it is one of several platforms.
        config_digest: of its configuration.
        diff_ids: of its layers, lowest first.
    """

    image: Image
    target: str
    config_digest: str
    diff_ids: tuple[str, ...]


class Catalogue:
    """What is here. Lookups cost a dictionary's."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._path = content.directory / "references.json"
        self._by_reference: dict[str, Entry] = {}
        self._by_digest: dict[str, Entry] = {}

    def load(self) -> None:
        """Take up what an earlier run left; an image with a part missing is not an image any more."""
        for reference, target, digest in self._read():
            entry = self._rebuild(reference, target, digest)
            if entry is None:
                _log.warning("image %s is not whole on this host any more; it will be pulled again", reference)
            else:
                self._take(entry)

    def named(self, reference: str) -> Entry | None:
        """By the reference exactly as it was asked for."""
        return self._by_reference.get(reference)

    def with_digest(self, digest: str) -> Entry | None:
        """By the digest of its manifest, or of the index that it was chosen from."""
        return self._by_digest.get(digest)

    def entries(self) -> tuple[Entry, ...]:
        """One for each reference."""
        return tuple(self._by_reference.values())

    def put(self, entry: Entry) -> None:
        """Add an image whose parts are all in place. Raises as `Content.write_file` does, then nothing has changed."""
        entries = {**self._by_reference, entry.image.reference: entry}
        self._write(entries)
        self._take(entry)

    def remove(self, digests: frozenset[str]) -> None:
        """Forget images by the digests of their manifests.

        A full disk does not hinder it, since what follows makes room: where an old file names an image whose layers are
        gone, `load` passes over it.
        """
        entries = {name: each for name, each in self._by_reference.items() if each.image.digest not in digests}
        try:
            self._write(entries)
        except ShoalError as error:
            _log.warning("%s", error)
        self._by_reference, self._by_digest = {}, {}
        for entry in entries.values():
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        self._by_reference[entry.image.reference] = entry
        self._by_digest[entry.target] = self._by_digest[entry.image.digest] = entry

    def _write(self, entries: Mapping[str, Entry]) -> None:
        rows = {name: {"target": each.target, "manifest": each.image.digest} for name, each in entries.items()}
        self._content.write_file(self._path, json.dumps(rows, indent=1, sort_keys=True).encode())

    def _read(self) -> list[tuple[str, str, str]]:
        try:
            rows = json.loads(self._path.read_bytes())
            return [(str(name), str(row["target"]), str(row["manifest"])) for name, row in rows.items()]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("%s is broken (%s); images will be pulled again", self._path, error)
            return []

    def _rebuild(self, reference: str, target: str, digest: str) -> Entry | None:
        try:
            content = self._content.blob(digest)
            manifest = parse_manifest(content) if content else None
            if not isinstance(manifest, Manifest):
                return None
            config = self._content.blob(manifest.config.digest)
            entry = make_entry(self._content, reference, target, digest, manifest.config.digest, config or b"")
        except ShoalError:
            return None
        return entry if all(self._content.has_layer(each) for each in entry.diff_ids) else None


def make_entry(content: Content, reference: str, target: str, digest: str, config_digest: str, config: bytes) -> Entry:
    """The entry of an image from its configuration.

    Raises:
        InvalidInput: the configuration is broken.
    """
    parsed = parse_config(config)
    layers = tuple(content.layer(each) for each in reversed(parsed.diff_ids))
    return Entry(Image(reference, digest, image_config(parsed), layers), target, config_digest, parsed.diff_ids)


def image_config(parsed: ParsedConfig) -> ImageConfig:
    """The settings as the runtime takes them.

    Raises:
        InvalidInput: a setting is of another type than the specification gives it.
    """
    settings = parsed.settings
    return ImageConfig(
        entrypoint=_texts(settings, "Entrypoint"),
        command=_texts(settings, "Cmd"),
        env=_texts(settings, "Env"),
        working_dir=str(settings.get("WorkingDir") or ""),
        user=str(settings.get("User") or ""),
        stop_signal=str(settings.get("StopSignal") or ""),
        labels={str(key): str(value) for key, value in _object(settings, "Labels").items()},
        exposed_ports=tuple(sorted(_object(settings, "ExposedPorts"))),
        volumes=tuple(sorted(_object(settings, "Volumes"))),
        healthcheck=_healthcheck(_object(settings, "Healthcheck")),
    )


def _healthcheck(section: Mapping[str, object]) -> Healthcheck | None:
    """Docker's extension of the configuration: a test, and durations in nanoseconds."""
    if not section:
        return None
    return Healthcheck(
        test=_texts(section, "Test"),
        interval_ms=_number(section, "Interval") // _NS_PER_MS,
        timeout_ms=_number(section, "Timeout") // _NS_PER_MS,
        retries=_number(section, "Retries"),
        start_period_ms=_number(section, "StartPeriod") // _NS_PER_MS,
        start_interval_ms=_number(section, "StartInterval") // _NS_PER_MS,
    )


def _number(settings: Mapping[str, object], key: str) -> int:
    value = settings.get(key) or 0
    if not isinstance(value, int) or not 0 <= value < 1 << 62 or (key == "Retries" and value >= 1 << 32):
        raise InvalidInput(f"the image's configuration has a {key} that is no number from 0")
    return value


def _texts(settings: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = settings.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InvalidInput(f"the image's configuration has a {key} that is not a list of strings")
    return tuple(value)


def _object(settings: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = settings.get(key) or {}
    if not isinstance(value, dict):
        raise InvalidInput(f"the image's configuration has {key} that are not an object")
    return value


def pinned_digest(reference: str) -> str:
    """The digest in a reference, empty where it has only a tag.

    Raises:
        InvalidInput: it is not a reference.
    """
    return parse(reference).digest
