"""Every example of the Compose Specification, chapter by chapter: what becomes of it, or what is told.

`specification/NOTICE` says where the examples are from. SHOAL_WRITE_CORPUS=1 writes the outcomes anew; read the
difference before committing it.
"""

import json
import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from shoal.compose.load import load_files
from shoal.compose.project import StackSpecs
from shoal.errors import InvalidInput

CHAPTERS = sorted(path for path in (Path(__file__).parent / "specification").glob("*.yaml"))
VARIABLES = {"OAUTH_TOKEN": "a", "VAR_INTERPOLATED_BY_COMPOSE": "b"}
A_SERVICE = "services: {web: {image: x}}\n"
"""What an example of a service's keys is merged over."""


def examples(chapter: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(chapter.read_text())
    return found


def of_example(directory: Path, example: Mapping[str, Any], key: str = "file") -> StackSpecs:
    """The project of an example, laid out as it takes for granted."""
    here = directory / "project"
    here.mkdir(parents=True, exist_ok=True)
    for name, text in example.get("beside", {}).items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    own = example.get("service") if key == "file" else None
    text = f"services:\n  web:\n{textwrap.indent(own, '    ')}" if own is not None else example[key]
    (here / "example.yaml").write_text(text)
    (here / "base.yaml").write_text(A_SERVICE if own is not None else example.get("base", "{}"))
    files = [here / "base.yaml", here / "example.yaml"] if key == "file" else [here / "example.yaml"]
    return load_files("s", files, VARIABLES, profiles=example.get("profiles", ())).checked().project


def outcome(directory: Path, example: Mapping[str, Any]) -> dict[str, Any]:
    try:
        made = of_example(directory, example)
    except InvalidInput as error:
        return {"told": [_anywhere(directory, str(fault)) for fault in error.faults]}
    found: dict[str, Any] = {"services": {spec.name.removeprefix("s_"): _service(spec) for spec in made.services}}
    for section in ("networks", "volumes", "secrets", "configs"):
        if own := [_plain(each) for each in getattr(made, section)]:
            found[section] = own
    if made.warnings:
        found["warnings"] = [_anywhere(directory, warning) for warning in made.warnings]
    written: dict[str, Any] = json.loads(_anywhere(directory, json.dumps(found)))
    return written


def _service(spec: Message) -> dict[str, Any]:
    """Without what every service has."""
    made = _plain(spec)
    del made["name"], made["stack"]
    for key, usual in (("replicated", {"replicas": 1}),):
        if made.get(key) == usual:
            del made[key]
    return made


def _plain(message: Message) -> dict[str, Any]:
    made: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return made


def _anywhere(directory: Path, text: str) -> str:
    return (
        text.replace(f"{directory}/project/", "").replace(f"{directory}/project", ".").replace(f"{directory}/", "../")
    )


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: str(path.stem))
def test_every_example_has_the_outcome_that_is_expected(tmp_path: Path, chapter: Path) -> None:
    cases = examples(chapter)
    made = {each["example"]: outcome(tmp_path / str(number), each) for number, each in enumerate(cases)}
    expected = chapter.with_suffix(".json")
    if os.environ.get("SHOAL_WRITE_CORPUS"):
        expected.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    assert len(made) == len(cases)
    assert made == json.loads(expected.read_text())


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: str(path.stem))
def test_what_the_specification_says_an_example_becomes(tmp_path: Path, chapter: Path) -> None:
    for number, example in enumerate(each for each in examples(chapter) if "same_as" in each):
        made = of_example(tmp_path / str(number), example)
        meant = of_example(tmp_path / str(number), example, "same_as")
        names = {spec.name for spec in meant.services}
        found = [spec for spec in made.services if spec.name in names]
        for spec in (*found, *meant.services):
            spec.task.container.env.sort()  # in which order is not said
        assert found == list(meant.services), example["example"]


def test_no_example_is_without_an_outcome() -> None:
    """Each becomes something, or is refused by the name of a key."""
    for chapter in CHAPTERS:
        for name, found in json.loads(chapter.with_suffix(".json").read_text()).items():
            assert found.get("services") or all(": " in line for line in found["told"]), name
