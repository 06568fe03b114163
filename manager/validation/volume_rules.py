"""Validation of volumes and the mounts of volumes. Pure: yields every fault."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from manager.validation import bounds
from manager.validation.text_rules import (
    check_absolute,
    check_duration,
    check_engine_request,
    check_labels,
    check_object_name,
)
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.volume_pb2 import (
    MULTI_NODE_MULTI_WRITER,
    MULTI_NODE_READER_ONLY,
    SINGLE_NODE_READER_ONLY,
    SINGLE_NODE_WRITER,
    VolumeSpec,
)
from shoal.errors import Fault

OPTIONS = ("type", "o", "device")
MAX_BYTES = 1 << 60
"""Bytes that a volume may be requested with."""
MAX_SECRETS = 16

ACCESS_MODES = (SINGLE_NODE_WRITER, SINGLE_NODE_READER_ONLY, MULTI_NODE_READER_ONLY, MULTI_NODE_MULTI_WRITER)


def check_volume(spec: VolumeSpec, drivers: Collection[str]) -> Iterator[Fault]:
    """Every fault of the spec.

    Args:
        drivers: names of the drivers that nodes have.
    """
    # A stack may have a volume under a name of the user's own choice (Compose `name`).
    yield from check_object_name("name", spec.name, spec.stack if spec.name.startswith(f"{spec.stack}_") else "")
    yield from check_labels("labels", spec.labels)
    yield from check_engine_request(spec.engine_request)
    if spec.driver not in ("", "local"):
        yield from _check_csi_volume(spec, drivers)
        return
    yield from check_options("options", spec.options)
    if spec.size_bytes or spec.limit_bytes:
        yield Fault("size_bytes", "is not supported by the local driver; use a CSI driver")
    if spec.access_mode:
        yield Fault(
            "access_mode",
            "is not supported by the local driver, which keeps separate data on each node; use a CSI driver",
        )
    if spec.secrets:
        yield Fault("secrets", "are not supported by the local driver; use a CSI driver")


def _check_csi_volume(spec: VolumeSpec, drivers: Collection[str]) -> Iterator[Fault]:
    yield from check_driver("driver", spec.driver, drivers)
    yield from check_parameters("options", spec.options)
    yield from _check_secrets(spec)
    if not 0 <= spec.size_bytes <= MAX_BYTES or not 0 <= spec.limit_bytes <= MAX_BYTES:
        yield Fault("size_bytes", "must be between 0 bytes and 1 EiB")
    elif spec.limit_bytes and spec.limit_bytes < spec.size_bytes:
        yield Fault("limit_bytes", "must not be less than size_bytes")
    if spec.access_mode and spec.access_mode not in ACCESS_MODES:
        yield Fault("access_mode", "must be one of the supported access modes")


def _check_secrets(spec: VolumeSpec) -> Iterator[Fault]:
    if len(spec.secrets) > MAX_SECRETS:
        yield Fault("secrets", f"has {len(spec.secrets)} secrets; the maximum is {MAX_SECRETS}")
    for key, number in Counter(each.key for each in spec.secrets).items():
        if not key or len(key) > bounds.LABEL_KEY_LENGTH or not key.isprintable():
            yield Fault(
                f"secrets.{key[:80]}", f"must have a key of 1 to {bounds.LABEL_KEY_LENGTH} printable characters"
            )
        elif number > 1:
            yield Fault(f"secrets.{key}", "is listed twice")


def check_driver(path: str, driver: str, drivers: Collection[str]) -> Iterator[Fault]:
    """Whether a node has the driver."""
    if driver not in ("", "local", *drivers):
        there = ", ".join(["local", *sorted(drivers)])
        yield Fault(
            path,
            f'driver "{driver[:80]}" not found on any node; available: '
            f"{there}; to add one, run its CSI plugin on a node",
        )


def check_parameters(path: str, options: Mapping[str, str]) -> Iterator[Fault]:
    """Parameters of a CSI driver, which alone knows their meaning."""
    for key, value in options.items():
        if not key or len(key) > bounds.LABEL_KEY_LENGTH or not key.isprintable():
            yield Fault(
                f"{path}.{key[:80]}", f"must have a name of 1 to {bounds.LABEL_KEY_LENGTH} printable characters"
            )
        elif "\x00" in value or len(value.encode()) > bounds.LABEL_VALUE_BYTES:
            yield Fault(f"{path}.{key}", f"is too long; the maximum is {bounds.LABEL_VALUE_BYTES} bytes")


def check_options(path: str, options: Mapping[str, str]) -> Iterator[Fault]:
    """Options of Docker's local driver: `type` and `device` together, `o` as in mount(8)."""
    for key, value in options.items():
        if key not in OPTIONS:
            yield Fault(f"{path}.{key}", f"is not supported by the local driver; supported are {', '.join(OPTIONS)}")
        elif "\x00" in value or "\n" in value or len(value.encode()) > bounds.LABEL_VALUE_BYTES:
            yield Fault(f"{path}.{key}", "must be a single line")
    if not options:
        return
    if not options.get("type") or not options.get("device"):
        yield Fault(path, "type and device are both required, as for mount(8)")
    elif options["type"] == "none":
        if "bind" not in options.get("o", "").split(","):
            yield Fault(f"{path}.o", 'must include "bind" if type is "none"')
        yield from check_absolute(f"{path}.device", options["device"])


def check_volume_mount(path: str, mount: Mount) -> Iterator[Fault]:
    """A mount of a volume, except whether the volume exists."""
    use = mount.volume
    named = use.subpath or use.per_slot or use.HasField("failover_after_ms") or use.options or use.labels
    needs_name = named or use.driver not in ("", "local")
    if needs_name and not mount.source:
        yield Fault(f"{path}.source", "is required: a volume without a name is created for each container")
    yield from check_labels(f"{path}.volume.labels", use.labels)
    if use.subpath:
        yield from check_absolute(f"{path}.volume.subpath", f"/{use.subpath}")
        if use.subpath.startswith("/"):
            yield Fault(f"{path}.volume.subpath", "must be a relative path")
    if use.HasField("failover_after_ms"):
        yield from check_duration(f"{path}.volume.failover_after_ms", use.failover_after_ms)
    if "{{" in mount.source and not _is_slot(mount.source):
        yield Fault(f"{path}.source", "must have no placeholder other than a trailing -{{.Task.Slot}}")
    if use.driver in ("", "local"):
        yield from check_options(f"{path}.volume.options", use.options)
    else:
        yield from check_parameters(f"{path}.volume.options", use.options)


def check_slots(spec: ServiceSpec) -> Iterator[Fault]:
    """Volumes per slot are for services that have slots."""
    if spec.WhichOneof("mode") in (None, "replicated"):
        return
    for index, mount in enumerate(spec.task.container.mounts):
        if mount.type == Mount.VOLUME and (mount.volume.per_slot or _is_slot(mount.source)):
            path = f"task.container.mounts[{index}].volume.per_slot"
            yield Fault(path, "is supported for replicated services only")


def _is_slot(source: str) -> bool:
    base, brace, rest = source.partition("-{{")
    return bool(base and brace) and "{{" not in base and rest.replace(" ", "") == ".Task.Slot}}"
