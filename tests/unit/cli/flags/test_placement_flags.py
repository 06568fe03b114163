"""Flags of placement, on create and on update, and the same in Compose."""

import pytest

from cli.flags.click_options import apply_flags
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.service_pb2 import Affinity, Preference, ServiceSpec
from shoal.compose.conversion.deploy_keys import placement, priority, resources, stop_on_disconnect
from shoal.errors import InvalidInput


def given(**flags: object) -> ServiceSpec:
    spec = ServiceSpec(name="web")
    apply_flags(spec, flags)
    return spec


def test_they_set_the_spec() -> None:
    spec = given(
        placement_pref=("spread=node.labels.zone", "spread=node.labels.rack,weight=50", "binpack"),
        affinity=("service==db", "service != cache,weight=10,topology-key=node.labels.zone"),
        generic_resource=("gpu=2",),
        priority="-5",
    )
    expected = spec.task.placement
    assert list(expected.spread) == ["node.labels.zone"]
    assert list(expected.preferences) == [Preference(spread="node.labels.rack", weight=50), Preference(binpack="load")]
    other = Affinity(service="cache", anti=True, weight=10, topology_key="node.labels.zone")
    assert list(expected.affinities) == [Affinity(service="db"), other]
    assert list(spec.task.reservations.generic_resources) == [GenericResource(kind="gpu", count=2)]
    assert spec.priority == -5
    apply_flags(
        spec,
        {
            "placement_pref_rm": ("spread=node.labels.zone", "binpack"),
            "affinity_rm": ("db",),
            "generic_resource_rm": ("gpu",),
        },
    )
    assert (len(expected.spread), len(expected.preferences), len(expected.affinities)) == (0, 1, 1)
    assert not spec.task.reservations.generic_resources


def test_affinities_to_one_service_over_several_keys() -> None:
    spec = given(affinity=("service==db,topology-key=node.labels.zone", "service!=db", "service!=db,weight=5"))
    near, away = Affinity(service="db", topology_key="node.labels.zone"), Affinity(service="db", anti=True, weight=5)
    assert list(spec.task.placement.affinities) == [near, away]
    apply_flags(spec, {"affinity_rm": ("db",)})
    assert not spec.task.placement.affinities


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("placement_pref", "zone"),
        ("placement_pref", "binpack=disk"),
        ("placement_pref", "spread=node.labels.zone,weight=x"),
        ("placement_pref", "spread=node.labels.zone,size=1"),
        ("affinity", "db"),
        ("affinity", "task==db"),
        ("affinity", "service=="),
        ("generic_resource", "gpu"),
        ("generic_resource", "gpu=-1"),
        ("affinity_rm", "db"),
        ("generic_resource_rm", "gpu"),
        ("placement_pref_rm", "spread=node.labels.zone"),
    ],
)
def test_other_forms_are_refused(flag: str, text: str) -> None:
    assert len(apply_flags(ServiceSpec(), {flag: (text,)})) == 1


def test_compose_has_the_same() -> None:
    spec = ServiceSpec()
    preferences = [{"spread": "node.labels.zone"}, {"x-binpack": "memory", "x-weight": 20}]
    placement(spec, {"preferences": preferences, "x-affinities": ["service!=db"]})
    resources(spec, {"reservations": {"generic_resources": [{"discrete_resource_spec": {"kind": "gpu", "value": 1}}]}})
    priority(spec, 7)
    assert list(spec.task.placement.spread) == ["node.labels.zone"]
    assert list(spec.task.placement.preferences) == [Preference(binpack="memory", weight=20)]
    assert list(spec.task.placement.affinities) == [Affinity(service="db", anti=True)]
    assert list(spec.task.reservations.generic_resources) == [GenericResource(kind="gpu", count=1)]
    assert spec.priority == 7
    with pytest.raises(InvalidInput, match="must have either spread"):
        placement(spec, {"preferences": [{"pack": "x"}]})


def test_how_long_a_node_without_managers_keeps_the_tasks() -> None:
    assert given().task.stop_on_disconnect_ms == 0
    spec = given(stop_on_disconnect="10m")
    assert spec.task.stop_on_disconnect_ms == 600_000
    stop_on_disconnect(spec, "90s")
    assert spec.task.stop_on_disconnect_ms == 90_000
    apply_flags(spec, {"stop_on_disconnect": "0s"})
    assert spec.task.stop_on_disconnect_ms == 0
