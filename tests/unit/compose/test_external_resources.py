"""What a file refers to and does not make: its name in the cluster, and what contradicts it."""

from pathlib import Path
from typing import Any

import pytest

from shoal.compose.load import load_documents
from shoal.compose.project import StackSpecs
from shoal.compose.reading.yaml_document import parse_document
from shoal.errors import InvalidInput

FORMS = {
    "by its key": ("external: true", "thing"),
    "by name": ("external: true, name: actual", "actual"),
    "in the older form": ("external: {name: actual}", "actual"),
    "in the older form without a name": ("external: {}", "thing"),
    "by a variable": ('external: "${YES:-true}"', "thing"),
}


def project(text: str) -> StackSpecs:
    return load_documents("shop", [parse_document(Path("web.yaml"), text)], {}, Path("/srv")).checked().project


def using(section: str, body: str) -> str:
    entry = "thing:/data" if section == "volumes" else "thing"
    return f"services: {{web: {{image: x, {section}: ['{entry}']}}}}\n{section}: {{thing: {{{body}}}}}\n"


def names(made: StackSpecs, section: str) -> list[str]:
    spec = made.services[0].task
    found: dict[str, Any] = {
        "networks": [each.network for each in spec.networks],
        "volumes": [each.source for each in spec.container.mounts],
        "secrets": [each.source for each in spec.container.secrets],
        "configs": [each.source for each in spec.container.configs],
    }
    return list(found[section])


@pytest.mark.parametrize("section", ["networks", "volumes", "secrets", "configs"])
@pytest.mark.parametrize("form", FORMS)
def test_the_stack_makes_none_and_finds_it_by_name(section: str, form: str) -> None:
    body, name = FORMS[form]
    made = project(using(section, body))
    assert names(made, section) == [name]
    brought: dict[str, Any] = {
        "networks": made.networks,
        "volumes": made.volumes,
        "secrets": made.secrets,
        "configs": made.configs,
    }
    assert not brought[section]
    assert [each.volume.external for each in made.services[0].task.container.mounts] == [True] * (section == "volumes")


def test_a_variable_may_say_that_the_stack_makes_it() -> None:
    made = project(using("volumes", 'external: "${YES:-false}"'))
    assert [volume.name for volume in made.volumes] == ["shop_thing"]
    assert not made.services[0].task.container.mounts[0].volume.external


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        ("external: true, driver: local", "volumes.thing.driver: 'driver' cannot be combined with external"),
        ("external: perhaps", "volumes.thing.external: 'perhaps' must be true or false"),
        ("external: {name: a}, name: b", "volumes.thing.external.name: 'a' conflicts with name 'b'"),
    ],
)
def test_contradictions(body: str, reported: str) -> None:
    with pytest.raises(InvalidInput, match=reported) as caught:
        project(using("volumes", body))
    assert str(caught.value).startswith("web.yaml:2:")
