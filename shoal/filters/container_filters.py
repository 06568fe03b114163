"""Filters of containers (`docker ps`)."""

from collections.abc import Callable

from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.task_pb2 import TaskStatus
from shoal.container_ids import container_id
from shoal.filters.filter_set import FilterSet, KeyFilter, boolean_filter, exact_filter, label_filter
from shoal.image_reference import parse

STATES = ("created", "running", "paused", "restarting", "exited", "removing", "dead")
HEALTH = ("starting", "healthy", "unhealthy", "none")


def container_filters(state_of: Callable[[ContainerView], str]) -> FilterSet[ContainerView]:
    """The keys of Docker that concern one container alone.

    Of a service's task `container` has the name and the definition by which it is filtered, and no id.

    Args:
        state_of: Docker's word for its state.
    """
    return FilterSet(
        {
            "exited": exact_filter(_exit_text),
            "health": exact_filter(_health, HEALTH),
            "id": KeyFilter(_has_id),
            "is-task": boolean_filter(lambda each: not each.container.meta.id),
            "label": label_filter(_labels),
            "name": KeyFilter(_is_named),
            "network": KeyFilter(_is_on_network),
            "node": KeyFilter(lambda each, value: value in (each.node_hostname, each.node_id)),
            "publish": KeyFilter(_publishes),
            "expose": KeyFilter(_exposes),
            "status": exact_filter(state_of, STATES),
            "volume": KeyFilter(_mounts),
            "ancestor": KeyFilter(_is_of_image),
        }
    )


def _labels(each: ContainerView) -> dict[str, str]:
    definition = each.container.definition
    return {**definition.task.container.labels, **definition.labels}


def _exit_text(each: ContainerView) -> str:
    return str(each.task_status.exit_code) if each.task_status.HasField("exit_code") else ""


def _is_named(each: ContainerView, value: str) -> bool:
    """By its name; a task of a service also by the name that the service gives to its one container."""
    given = each.container.definition.task.container.name if not each.container.meta.id else ""
    return _fits(each.container.name, value) or bool(given and _fits(given, value))


def _fits(own: str, value: str) -> bool:
    """A part of the name, with `^` at its beginning or `$` at its end. Docker takes any regular expression: one that
    takes for ever would stop a manager.
    """
    name = f"/{own}"
    text = value.removeprefix("^").removesuffix("$")
    text = text if text.startswith("/") or not value.startswith("^") else f"/{text}"
    if value.startswith("^") and value.endswith("$"):
        return name == text
    if value.startswith("^"):
        return name.startswith(text)
    return name.endswith(text) if value.endswith("$") else text in name


def _health(each: ContainerView) -> str:
    return TaskStatus.Health.Name(each.task_status.health).lower()


def _has_id(each: ContainerView, value: str) -> bool:
    identifier = each.container.meta.id or each.task.id
    return bool(value) and (identifier.startswith(value) or container_id(identifier).startswith(value))


def _is_on_network(each: ContainerView, value: str) -> bool:
    return any(value == attachment.network for attachment in each.container.definition.task.networks)


def _publishes(each: ContainerView, value: str) -> bool:
    first, last = _ports(value)
    published = [port.published for port in each.status.mesh_ports] + [port.published for port in each.task.ports]
    return any(first <= port <= last for port in published)


def _exposes(each: ContainerView, value: str) -> bool:
    first, last = _ports(value)
    return any(first <= port.target <= last for port in each.container.definition.ports)


def _ports(value: str) -> tuple[int, int]:
    """`80`, `80/tcp`, `8000-8080`; what is none of these is no port."""
    first, _, last = value.partition("/")[0].partition("-")
    if not first.isdecimal() or (last and not last.isdecimal()):
        return 1, 0
    return int(first), int(last or first)


def _mounts(each: ContainerView, value: str) -> bool:
    mounts = each.container.definition.task.container.mounts
    return any(value in (mount.volume.name, mount.source, mount.target) for mount in mounts)


def _is_of_image(each: ContainerView, value: str) -> bool:
    image = each.container.definition.task.container.image
    if value.startswith("sha256:"):
        return image.endswith(f"@{value}")
    asked = str(parse(value).with_default_tag())
    return image.partition("@")[0] == asked or image == asked
