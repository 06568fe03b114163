"""Which images are on this host, by reference and by digest; kept in memory and in `references.json`."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from agent.images.content_store import ContentStore
from agent.worker.interfaces import Image, ImageConfig
from shoal.api.v1.container_pb2 import Healthcheck
from shoal.distribution.image_config import CONFIGURATION, ParsedConfig, parse_config
from shoal.distribution.manifests import Manifest, parse_manifest
from shoal.distribution.untrusted_json import number_of, object_of, text_of, texts_of
from shoal.errors import InvalidInput, ShoalError
from shoal.fault_points.injection import fault
from shoal.image_reference import parse

_NS_PER_MS = 1_000_000
_MAX_PORTS = 1 << 16
_MAX_VOLUMES = 256  # each is a mount in each container
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalImage:
    """An image on this host.

    Attributes:
        target: digest that its tag named: that of an index if the image has several platforms.
        config_digest: of its configuration.
        diff_ids: of its layers, lowest first.
    """

    image: Image
    target: str
    config_digest: str
    diff_ids: tuple[str, ...]


class ImageIndex:
    """The images on this host. A lookup costs that of a dictionary."""

    def __init__(self, content: ContentStore) -> None:
        self._content = content
        self._path = content.directory / "references.json"
        self._by_reference: dict[str, LocalImage] = {}
        self._by_digest: dict[str, LocalImage] = {}

    def load(self) -> None:
        """Load the images of an earlier run; an image with a missing part is dropped."""
        for reference, target, digest in self._read():
            entry = self._rebuild(reference, target, digest)
            if entry is None:
                _log.warning("image %s is incomplete; it will be pulled again", reference)
            else:
                self._add_to_index(entry)

    def by_reference(self, reference: str) -> LocalImage | None:
        """By the reference exactly as it was requested."""
        return self._by_reference.get(reference)

    def by_digest(self, digest: str) -> LocalImage | None:
        """By the digest of its manifest, or of the index that it was chosen from."""
        return self._by_digest.get(digest)

    def entries(self) -> tuple[LocalImage, ...]:
        """One for each reference."""
        return tuple(self._by_reference.values())

    def add(self, entry: LocalImage) -> None:
        """Add an image whose parts are all in place.

        Raises as `ContentStore.write_file` does; then nothing has changed.
        """
        entries = {**self._by_reference, entry.image.reference: entry}
        self._write(entries)
        fault("agent.pull.indexed")
        self._add_to_index(entry)

    def remove(self, digests: frozenset[str]) -> None:
        """Forget images by the digests of their manifests.

        This succeeds on a full disk too, since the deletions that follow free space: if the old file still names an
            image
        whose layers are gone, `load` skips it.
        """
        entries = {name: each for name, each in self._by_reference.items() if each.image.digest not in digests}
        try:
            self._write(entries)
        except ShoalError as error:
            _log.warning("%s", error)
        self._by_reference, self._by_digest = {}, {}
        for entry in entries.values():
            self._add_to_index(entry)

    def _add_to_index(self, entry: LocalImage) -> None:
        self._by_reference[entry.image.reference] = entry
        self._by_digest[entry.target] = self._by_digest[entry.image.digest] = entry

    def _write(self, entries: Mapping[str, LocalImage]) -> None:
        rows = {name: {"target": each.target, "manifest": each.image.digest} for name, each in entries.items()}
        self._content.write_file(self._path, json.dumps(rows, indent=1, sort_keys=True).encode())

    def _read(self) -> list[tuple[str, str, str]]:
        try:
            rows = json.loads(self._path.read_bytes())
            return [(str(name), str(row["target"]), str(row["manifest"])) for name, row in rows.items()]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("%s is corrupt (%s); images will be pulled again", self._path, error)
            return []

    def _rebuild(self, reference: str, target: str, digest: str) -> LocalImage | None:
        try:
            content = self._content.read_blob(digest)
            manifest = parse_manifest(content) if content else None
            if not isinstance(manifest, Manifest):
                return None
            config = self._content.read_blob(manifest.config.digest)
            entry = local_image(self._content, reference, target, digest, manifest.config.digest, config or b"")
        except ShoalError:
            return None
        return entry if all(self._content.has_layer(each) for each in entry.diff_ids) else None


def local_image(
    content: ContentStore, reference: str, target: str, digest: str, config_digest: str, config: bytes
) -> LocalImage:
    """The entry of an image from its configuration.

    Raises:
        InvalidInput: the configuration is broken.
    """
    parsed = parse_config(config)
    layers = tuple(content.layer(each) for each in reversed(parsed.diff_ids))
    return LocalImage(Image(reference, digest, image_config(parsed), layers), target, config_digest, parsed.diff_ids)


def image_config(parsed: ParsedConfig) -> ImageConfig:
    """The settings in the form that the runtime needs.

    Raises:
        InvalidInput: a setting has the wrong type, or there are too many.
    """
    settings = parsed.settings
    labels = object_of(settings, "Labels", CONFIGURATION)
    return ImageConfig(
        entrypoint=texts_of(settings, "Entrypoint", CONFIGURATION),
        command=texts_of(settings, "Cmd", CONFIGURATION),
        env=texts_of(settings, "Env", CONFIGURATION),
        working_dir=text_of(settings, "WorkingDir", CONFIGURATION),
        user=text_of(settings, "User", CONFIGURATION),
        stop_signal=text_of(settings, "StopSignal", CONFIGURATION),
        labels={key: text_of(labels, key, f"{CONFIGURATION}, in Labels,") for key in labels},
        exposed_ports=_sorted_keys(settings, "ExposedPorts", at_most=_MAX_PORTS),
        volumes=_sorted_keys(settings, "Volumes", at_most=_MAX_VOLUMES),
        healthcheck=_healthcheck(object_of(settings, "Healthcheck", CONFIGURATION)),
    )


def _sorted_keys(settings: Mapping[str, object], key: str, *, at_most: int) -> tuple[str, ...]:
    """The specification represents sets as objects with meaningless values."""
    found = object_of(settings, key, CONFIGURATION)
    if len(found) > at_most:
        raise InvalidInput(f"{CONFIGURATION} has {len(found)} {key}; the maximum is {at_most}")
    return tuple(sorted(found))


def _healthcheck(section: Mapping[str, object]) -> Healthcheck | None:
    """Docker's extension of the configuration: a test, and durations in nanoseconds."""
    if not section:
        return None
    return Healthcheck(
        test=texts_of(section, "Test", CONFIGURATION),
        interval_ms=_milliseconds(section, "Interval"),
        timeout_ms=_milliseconds(section, "Timeout"),
        retries=number_of(section, "Retries", CONFIGURATION, below=1 << 32),
        start_period_ms=_milliseconds(section, "StartPeriod"),
        start_interval_ms=_milliseconds(section, "StartInterval"),
    )


def _milliseconds(section: Mapping[str, object], key: str) -> int:
    return number_of(section, key, CONFIGURATION, below=1 << 63) // _NS_PER_MS


def pinned_digest(reference: str) -> str:
    """The digest in a reference, empty where it has only a tag.

    Raises:
        InvalidInput: it is not a reference.
    """
    return parse(reference).digest
