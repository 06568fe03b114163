"""Every key of the Compose Specification's published schema is honoured, or refused with what to do instead."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.compose.conversion.deploy_keys import set_platform
from shoal.compose.schema_check import NO_EFFECT, SUPPORTED, UNSUPPORTED, schema, unsupported_keys
from shoal.errors import InvalidInput

HANDLED_BEFORE = {"include", "extends", "profiles", "build", "container_name"}
"""Followed while files are merged, or refused with a test of their own."""

SECTIONS = {"services": "service", "networks": "network", "volumes": "volume", "secrets": "secret", "configs": "config"}


def keys(section: str) -> list[str]:
    return sorted(set(schema()["definitions"][SECTIONS[section]]["properties"]) - HANDLED_BEFORE)


@pytest.mark.parametrize(("section", "key"), [(section, key) for section in SECTIONS for key in keys(section)])
def test_every_key_is_honoured_or_refused_with_a_reason(section: str, key: str) -> None:
    reported = list(unsupported_keys({section: {"x": {key: {}}}}))
    if key in SUPPORTED[section]["*"]:
        assert reported == []
    else:
        ((path, why),) = reported
        assert path == (section, "x", key)
        assert why == UNSUPPORTED[section, key], "say what to do instead"


def nested(definition: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    for name, value in definition.get("properties", {}).items():
        if name not in known and ("services", name) not in UNSUPPORTED:
            yield name
        elif isinstance(known.get(name), Mapping):
            yield from nested(value, known[name])


def test_every_key_of_deploy_is_known() -> None:
    assert list(nested(schema()["definitions"]["deployment"], SUPPORTED["services"]["*"]["deploy"])) == []


def test_every_key_of_build_is_known() -> None:
    whole = schema()["definitions"]["service"]["properties"]["build"]["oneOf"][1]["properties"]
    assert set(whole) == set(SUPPORTED["services"]["*"]["build"])


def test_keys_without_effect_are_admitted() -> None:
    assert set(NO_EFFECT) <= set(SUPPORTED["services"]["*"])


def test_a_platform_is_a_constraint() -> None:
    spec = ServiceSpec()
    set_platform(spec, "linux/arm64")
    assert list(spec.task.placement.constraints) == ["node.platform.os == linux", "node.platform.arch == arm64"]
    set_platform(spec, None)
    assert len(spec.task.placement.constraints) == 2
    with pytest.raises(InvalidInput, match="use linux/arm"):
        set_platform(spec, "linux/arm/v7")
