"""What makes volumes and the mounts of volumes valid. Pure: yields every fault."""

from collections.abc import Iterator, Mapping

from manager.control_api import bounds
from manager.control_api.text_rules import check_absolute, check_duration, check_labels, check_object_name
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.volume_pb2 import VolumeSpec
from shoal.errors import Fault

OPTIONS = ("type", "o", "device")


def check_volume(spec: VolumeSpec) -> Iterator[Fault]:
    """Every fault that the spec shows by itself."""
    # A stack may have a volume under a name of the user's own choice (Compose `name`).
    yield from check_object_name("name", spec.name, spec.stack if spec.name.startswith(f"{spec.stack}_") else "")
    yield from check_labels("labels", spec.labels)
    if spec.driver not in ("", "local"):
        yield Fault("driver", f'"{spec.driver[:80]}" is not supported; "local" is the only driver')
    yield from check_options("options", spec.options)


def check_options(path: str, options: Mapping[str, str]) -> Iterator[Fault]:
    """Those of Docker's local driver: `type` and `device` together, `o` as mount(8) has it."""
    for key, value in options.items():
        if key not in OPTIONS:
            yield Fault(f"{path}.{key}", f"is not an option of the local driver; there are {', '.join(OPTIONS)}")
        elif "\x00" in value or "\n" in value or len(value.encode()) > bounds.LABEL_VALUE_BYTES:
            yield Fault(f"{path}.{key}", "is not one line")
    if not options:
        return
    if not options.get("type") or not options.get("device"):
        yield Fault(path, "type and device are needed together, as mount(8) has them")
    elif options["type"] == "none":
        if "bind" not in options.get("o", "").split(","):
            yield Fault(f"{path}.o", 'must have "bind" where type is "none"')
        yield from check_absolute(f"{path}.device", options["device"])


def check_volume_mount(path: str, mount: Mount) -> Iterator[Fault]:
    """A mount of a volume, but whether the volume is there."""
    use = mount.volume
    lasting = use.subpath or use.per_slot or use.HasField("hold_ms") or use.options or use.driver not in ("", "local")
    if lasting and not mount.source:
        yield Fault(f"{path}.source", "a name is needed: a volume without one is new and empty in each container")
    if use.subpath:
        yield from check_absolute(f"{path}.volume.subpath", f"/{use.subpath}")
        if use.subpath.startswith("/"):
            yield Fault(f"{path}.volume.subpath", "must be a relative path")
    if use.HasField("hold_ms"):
        yield from check_duration(f"{path}.volume.hold_ms", use.hold_ms)
        if not use.per_slot and "{{" not in mount.source:
            yield Fault(f"{path}.volume.hold_ms", "is for volumes per slot")
    if "{{" in mount.source and not _is_slot(mount.source):
        yield Fault(f"{path}.source", "may have no placeholder but {{.Task.Slot}} at its end, after a dash")
    yield from check_options(f"{path}.volume.options", use.options)


def check_slots(spec: ServiceSpec) -> Iterator[Fault]:
    """Volumes per slot are for services that have slots."""
    if spec.WhichOneof("mode") in (None, "replicated"):
        return
    for index, mount in enumerate(spec.task.container.mounts):
        if mount.type == Mount.VOLUME and (mount.volume.per_slot or _is_slot(mount.source)):
            path = f"task.container.mounts[{index}].volume.per_slot"
            yield Fault(path, "a volume per slot is for replicated services; others have no slots")


def _is_slot(source: str) -> bool:
    base, brace, rest = source.partition("-{{")
    return bool(base and brace) and "{{" not in base and rest.replace(" ", "") == ".Task.Slot}}"
