"""Small services with a few of everything, for the model of the planner."""

from collections.abc import Collection

from hypothesis import strategies as st

from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.meta_pb2 import GenericResource, Platform
from shoal.api.v1.service_pb2 import (
    Affinity,
    Autoscale,
    Endpoint,
    Global,
    NetworkAttachment,
    Placement,
    Preference,
    PublishedPort,
    Replicated,
    RestartPolicy,
    ServiceSpec,
    TaskTemplate,
    UpdateConfig,
)

MIB = 1 << 20
NODES = [f"h{number}" for number in range(1, 6)]
SERVICES = ["api", "db", "web"]
NETWORKS = ["back", "front"]
IMAGES = ["a:1", "a:2", "a:3"]
GENERIC = [GenericResource(kind="gpu", names=["GPU-1", "GPU-2", "GPU-3"]), GenericResource(kind="seat", count=2)]
DEVICES = ["/dev/kfd", "/dev/ttyUSB0"]

FEATURES = (
    *("memory", "generic", "devices", "priorities", "networks", "restarts", "placement", "ports", "autoscale"),
    *("volumes", "volumes", "global", "health", "sharing", "sharing"),
)
"""A cluster has some of them, and those often: what only a few of them together bring about is found so."""


@st.composite
def specs(draw: st.DrawFn, features: Collection[str]) -> ServiceSpec:
    """A service of any kind that has no end."""

    def has(feature: str) -> bool:
        return feature in features and draw(st.integers(0, 3)) > 0

    spec = ServiceSpec(task=TaskTemplate())
    if "global" in features and not draw(st.integers(0, 2)):
        getattr(spec, "global").CopyFrom(Global())
    else:
        spec.replicated.CopyFrom(Replicated(replicas=draw(st.integers(0, 7))))
        if has("autoscale"):
            spec.autoscale.CopyFrom(Autoscale(min_replicas=1, max_replicas=draw(st.integers(1, 8)), cpu_percent=50))
    spec.task.container.image = draw(st.sampled_from(IMAGES))
    if has("memory"):
        spec.task.reservations.memory_bytes = draw(st.sampled_from([100, 300, 450])) * MIB
    if has("generic"):
        kind = draw(st.sampled_from(["gpu", "gpu", "seat"]))
        spec.task.reservations.generic_resources.append(GenericResource(kind=kind, count=draw(st.sampled_from([1, 2]))))
    if has("devices"):
        spec.task.container.devices.add(source=draw(st.sampled_from(DEVICES)))
    if has("health"):
        spec.task.container.healthcheck.test.extend(["CMD", "true"])
    if has("priorities"):
        spec.priority = draw(st.sampled_from([-5, 10]))
    if has("networks"):
        spec.task.networks.extend(NetworkAttachment(network=each) for each in draw(st.sets(st.sampled_from(NETWORKS))))
    spec.task.restart.CopyFrom(draw(restarts) if has("restarts") else RestartPolicy(delay_ms=0))
    if has("placement"):
        spec.task.placement.CopyFrom(draw(placements))
    spec.update.CopyFrom(draw(updates))
    if (rollback := draw(rollbacks)) is not None:
        spec.rollback.CopyFrom(rollback)
    if has("volumes"):
        spec.task.container.mounts.append(draw(mounts))
    if has("ports"):
        spec.endpoint.CopyFrom(Endpoint(ports=draw(st.sampled_from(PORTS))))
    return spec


def own_volumes(spec: ServiceSpec, service_id: str) -> None:
    """Give the service volumes of its own; a global one none for each slot, which the control API refuses."""
    for mount in spec.task.container.mounts:
        if not spec.HasField("replicated") or mount.type != Mount.VOLUME:
            mount.volume.per_slot = False
        if mount.type == Mount.VOLUME:
            # A volume's options are fixed, and the control API refuses to hide its data behind a volume per slot.
            kind = "slots" if mount.volume.per_slot else mount.volume.options.get("type", "plain")
            mount.source = f"{mount.volume.name}-{kind}-{service_id}"


mounts = st.builds(
    Mount,
    type=st.sampled_from([Mount.VOLUME, Mount.VOLUME, Mount.BIND]),
    source=st.just("/srv"),
    shared=st.sampled_from([False, False, True]),
    volume=st.builds(
        VolumeOptions,
        name=st.sampled_from(["data", "data", "logs"]),
        per_slot=st.booleans(),
        failover_after_ms=st.sampled_from([None, 60_000]),
        options=st.sampled_from([{}, {}, {"type": "nfs"}]),
    ),
)
PREFERENCES = [Preference(spread="node.labels.zone", weight=50), Preference(binpack="memory", weight=30)]
affinities = st.builds(
    Affinity,
    service=st.sampled_from([f"{name}1" for name in SERVICES]),
    anti=st.booleans(),
    weight=st.sampled_from([0, 0, 50]),
    topology_key=st.sampled_from(["", "node.labels.zone"]),
)
PORTS: list[list[PublishedPort]] = [
    [PublishedPort(target=80, mode=PublishedPort.HOST)],
    [PublishedPort(target=80, published=8080, mode=PublishedPort.HOST)],
    [PublishedPort(target=80, published=8080, mode=PublishedPort.HOST, host_address="127.0.0.1")],
    [PublishedPort(target=80, published_first=8080, published_last=8081, mode=PublishedPort.HOST)],
]
restarts = st.builds(
    RestartPolicy,
    condition=st.sampled_from([0, RestartPolicy.NONE, RestartPolicy.ON_FAILURE, RestartPolicy.ANY]),
    delay_ms=st.sampled_from([None, 0, 1_000]),
    max_attempts=st.sampled_from([0, 0, 2]),
    window_ms=st.sampled_from([0, 60_000]),
)
placements = st.builds(
    Placement,
    constraints=st.lists(
        st.sampled_from(
            [
                "node.labels.zone == a",
                "node.hostname != h2",
                "node.hostname =~ h[1-3]",
                "node.id in h1, h4",
                "node.role == manager",
                "node.role == worker",
            ]
        ),
        max_size=1,
    ),
    preferences=st.sampled_from([[], [], [Preference(binpack="load")], PREFERENCES]),
    affinities=st.lists(affinities, max_size=1),
    platforms=st.sampled_from([[], [], [Platform(os="linux", architecture="amd64")]]),
    spread=st.sampled_from([[], ["node.labels.zone"]]),
    max_per_node=st.sampled_from([0, 0, 1, 2]),
)
updates = st.builds(
    UpdateConfig,
    parallelism=st.integers(0, 3),
    delay_ms=st.sampled_from([0, 0, 5_000]),
    order=st.sampled_from([UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST]),
    monitor_ms=st.sampled_from([None, 0, 0, 5_000]),
    failure_action=st.sampled_from([0, UpdateConfig.ROLLBACK, UpdateConfig.PAUSE, UpdateConfig.CONTINUE]),
    max_failure_ratio=st.sampled_from([0.0, 0.0, 0.5]),
    progress_deadline_ms=st.sampled_from([None, 60_000]),
    canary=st.sampled_from([0, 0, 0, 1, 2]),
    auto_promote=st.booleans(),
)
rollbacks = st.one_of(
    st.none(),
    st.builds(
        UpdateConfig,
        parallelism=st.integers(0, 2),
        delay_ms=st.sampled_from([0, 0, 5_000]),
        monitor_ms=st.sampled_from([None, 0]),
        max_failure_ratio=st.sampled_from([0.0, 0.5]),
        failure_action=st.sampled_from([UpdateConfig.PAUSE, UpdateConfig.CONTINUE]),
        order=st.sampled_from([UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST]),
    ),
)
