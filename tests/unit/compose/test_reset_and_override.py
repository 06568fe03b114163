"""`!reset` and `!override` on every level, extensions (`x-…`) in every mapping, and answers that variables give."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.compose.load import load_documents
from shoal.compose.project import StackSpecs
from shoal.compose.reading.file_reader import LocalFiles
from shoal.compose.reading.yaml_document import parse_document
from shoal.compose.reading.yaml_tree import YamlList, YamlMap
from shoal.compose.schema_check import schema
from shoal.errors import InvalidInput

BASE = """
name: shop
services:
  web:
    image: x
    command: [serve]
    ports: ["80:80"]
    environment: {A: 1, B: 2}
    deploy: {replicas: 2, resources: {limits: {cpus: 1, memory: 1G}}}
    networks: {front: {aliases: [www]}, back: {}}
    configs: [one]
  db: {image: y}
networks: {front: {internal: true, labels: {a: 1}}, back: {}}
volumes: {data: {labels: {a: 1}}}
configs: {one: {content: a}}
"""


def project(*texts: str, **variables: str) -> StackSpecs:
    documents = [parse_document(Path(f"file{number}.yaml"), text) for number, text in enumerate(texts, 1)]
    return load_documents("shop", documents, variables, Path("/srv"), files=LocalFiles()).checked().project


def says(made: StackSpecs) -> str:
    web = next(spec for spec in made.services if spec.name == "shop_web")
    limits = web.task.limits
    return " ".join(
        [
            f"{web.task.container.image}/{web.replicated.replicas}",
            f"{limits.nano_cpus // 10**9}/{limits.memory_bytes >> 20}",
            ",".join(str(port.published) for port in web.endpoint.ports),
            ",".join(web.task.container.env),
            ",".join(f"{each.network}={'+'.join(each.aliases)}" for each in web.task.networks),
            ",".join(f"{each.name}{'!' * each.internal}{'.' * len(each.labels)}" for each in made.networks),
            f"{len(made.services)} {len(made.volumes)} {len(made.configs)}",
        ]
    )


WHOLE = "x/2 1/1024 80 A=1,B=2 shop_front=web+www,shop_back=web shop_front!.,shop_back,shop_default 2 1 1"

CASES = {
    "nothing": ("{}", WHOLE),
    "a section goes": ("volumes: !reset null", WHOLE.replace("2 1 1", "2 0 1")),
    "a section is another": (
        "services: !override {web: {image: z, networks: {back: }}}",
        "z/1 0/0   shop_back=web shop_front!.,shop_back 1 1 1",
    ),
    "an object goes": ("services: {db: !reset null}", WHOLE.replace(",shop_default 2 1 1", " 1 1 1")),
    "an object is another": (
        "services: {web: !override {image: z, networks: [back]}}",
        "z/1 0/0   shop_back=web shop_front!.,shop_back,shop_default 2 1 1",
    ),
    "a key goes": ("services: {web: {ports: !reset []}}", WHOLE.replace(" 80 ", "  ")),
    "a key is another": ("services: {web: {ports: !override ['81:81']}}", WHOLE.replace(" 80 ", " 81 ")),
    "a nested key goes": ("services: {web: {deploy: {resources: !reset {}}}}", WHOLE.replace("1/1024", "0/0")),
    "a nested key is another": (
        "services: {web: {deploy: {resources: {limits: !override {memory: 1M}}}}}",
        WHOLE.replace("1/1024", "0/1"),
    ),
    "a single value goes": ("services: {web: {deploy: {replicas: !reset 0}}}", WHOLE.replace("x/2", "x/1")),
    "a variable goes": ("services: {web: {environment: {A: !reset null}}}", WHOLE.replace("A=1,", "")),
    "a network of a service goes": (
        "services: {web: {networks: {back: !reset null}}}",
        WHOLE.replace(",shop_back=web", ""),
    ),
    "what is said of a network goes": (
        "services: {web: {networks: {front: !override {}}}}",
        WHOLE.replace("web+www", "web"),
    ),
    "labels of a network go": ("networks: {front: {labels: !reset {}}}", WHOLE.replace("front!.", "front!")),
    "an item that is taken back says nothing": ("services: {web: {ports: [!reset '80:80']}}", WHOLE),
}


@pytest.mark.parametrize("name", CASES)
def test_marks_on_every_level(name: str) -> None:
    over, expected = CASES[name]
    assert says(project(BASE, over)) == expected


def test_a_service_that_stands_in_anothers_place_may_extend_a_third() -> None:
    for over in (
        "services: {web: !override {extends: {service: common}, hostname: h}, common: {image: z}}",
        "services: !override {web: {extends: {service: common}, hostname: h}, common: {image: z}}",
    ):
        web = next(spec for spec in project(BASE, over).services if spec.name == "shop_web")
        assert (web.task.container.image, web.task.container.hostname) == ("z", "h")


RICH = """
services:
  web:
    image: x
    environment: {A: 1}
    healthcheck: {test: [CMD, a], interval: 1s}
    x-healthcheck-of-others: 1
    logging: {driver: local, options: {max-size: 1m}}
    ulimits: {nofile: {soft: 1, hard: 2}}
    ports: [{target: 80, published: 8080}]
    volumes:
      - {type: volume, source: data, target: /a, volume: {nocopy: true}}
      - {type: bind, source: /srv, target: /b, bind: {create_host_path: false}}
      - {type: tmpfs, target: /c, tmpfs: {size: 1000}}
    networks: {front: {aliases: [a], priority: 1}}
    depends_on: {db: {condition: service_started}}
    secrets: [{source: s, target: t}]
    configs: [{source: c, target: t2}]
    deploy:
      mode: replicated
      update_config: {parallelism: 1}
      rollback_config: {parallelism: 1}
      restart_policy: {condition: any}
      resources: {limits: {memory: 1G}, reservations: {memory: 1M}}
      placement: {constraints: [node.role == worker], preferences: [{spread: node.labels.zone}]}
  db: {image: y}
networks: {front: {ipam: {config: [{subnet: 10.0.0.0/24}]}}}
volumes: {data: {labels: {a: 1}}}
secrets: {s: {environment: S}}
configs: {c: {content: c}}
"""
NAMES = {"environment", "labels", "ulimits", "networks", "services", "volumes", "secrets", "configs", "depends_on"}
"""Mappings in which a key is a name of the user's choice, or a setting of a driver's."""


def extended(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The value with an extension in one of its mappings, once for each mapping that may have one."""
    if isinstance(value, YamlMap):
        if key not in NAMES and key != "options":
            yield key, YamlMap({**value, "x-any": {"a": [1]}}, value.locations, value.location)
        for name, item in value.items():
            for where, each in extended(item, name):
                yield f"{key}.{where}", value.with_item(name, each)
    elif isinstance(value, YamlList):
        for index, item in enumerate(value):
            for where, each in extended(item):
                items = [*value[:index], each, *value[index + 1 :]]
                yield f"{key}[{index}]{where}", YamlList(items, value.locations, value.location)


def test_an_extension_may_stand_in_every_mapping() -> None:
    document = parse_document(Path("web.yaml"), RICH)
    plain = load_documents("shop", [document], {"S": "1"}, Path("/srv")).checked().project
    reported = {}
    for where, tree in extended(document.value):
        try:
            made = (
                load_documents("shop", [type(document)(document.name, tree)], {"S": "1"}, Path("/srv"))
                .checked()
                .project
            )
            reported[where] = "" if made == plain else "changes something"
        except InvalidInput as error:
            reported[where] = str(error)
    assert len(reported) > 30
    assert not {where: text for where, text in reported.items() if text}


def test_the_schema_is_the_published_one_beside_our_own_keys() -> None:
    properties = schema()["definitions"]["service"]["properties"]
    assert properties["schedule"] == {}
    assert "x-schedule" not in properties


def test_answers_of_variables_count_as_they_are_meant(tmp_path: Path) -> None:
    text = """
services:
  web:
    image: x
    env_file: [{path: nowhere.env, required: "${NEEDED:-false}"}]
    depends_on: {db: {condition: service_started, required: "${NEEDED:-false}"}}
    networks: {one: , two: {priority: "${FIRST:-7}"}}
  db: {image: y, profiles: [more]}
networks: {one: , two: }
"""
    (web,) = project(text).services
    assert not web.depends_on
    assert [each.network for each in web.task.networks] == ["shop_two", "shop_one"]
    with pytest.raises(InvalidInput) as reported:
        project(text, NEEDED="true")
    assert "nowhere.env not found" in str(reported.value)
    assert "service 'db' is not enabled" in str(reported.value)


def test_a_variable_that_nobody_sets_is_unset_whatever_a_file_says(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A=1\nB=2\nC=3\n")
    text = f"services: {{web: {{image: x, env_file: {tmp_path}/a.env, environment: [A, B=, C=4]}}}}"
    assert list(project(text).services[0].task.container.env) == ["B=", "C=4"]


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("'/srv:/d:ro,z'", "z"),
        ("'/srv:/d:Z'", "Z"),
        ("{type: bind, source: /srv, target: /d, bind: {selinux: z}}", "selinux"),
        ("{type: bind, source: /srv, target: /d, consistency: cached}", "consistency"),
        ("'/srv:/d:rprivate'", ""),
    ],
)
def test_what_has_no_effect_on_a_mount_is_warned_of(entry: str, word: str) -> None:
    made = project(f"services: {{web: {{image: x, volumes: [{entry}]}}}}")
    assert [f"'{word}' has no effect" in warning for warning in made.warnings] == ([True] if word else [])
