"""Faults that the manager finds, told where the file has their cause."""

from pathlib import Path

from cli.compose.document import read
from cli.compose.faults import Faults
from cli.compose.places import located
from shoal.errors import Fault

FILE = """
services:
  web:
    image: registry:5000/nosuch:1
    ports: ["80:80", "80:81"]
    deploy:
      placement:
        constraints: ["node.id == a", "node.foo == b"]
      resources: {limits: {memory: 10M}}
networks:
  front: {}
"""


def told(path: str) -> str:
    tree = read(Path("shop.yaml"), FILE).value
    return str(located(tree, [Fault(path, "wrong")], Faults())[0])


def test_fields_become_keys_with_line_and_column() -> None:
    assert told("services.web.task.container.image") == "shop.yaml:4:5: services.web.image: wrong"
    assert told("services.web.endpoint.ports[1].published") == "shop.yaml:5:5: services.web.ports: wrong"
    assert told("services.web.task.placement.constraints[1]") == (
        "shop.yaml:8:39: services.web.deploy.placement.constraints[1]: wrong"
    )
    assert told("services.web.task.limits.memory_bytes") == (
        "shop.yaml:9:28: services.web.deploy.resources.limits.memory: wrong"
    )
    assert told("networks.front.subnet") == "shop.yaml:11:3: networks.front.subnet: wrong"


def test_what_the_file_does_not_have_keeps_its_name_and_gets_the_nearest_place() -> None:
    assert told("services.web.task.container.user") == "shop.yaml:3:3: services.web.task.container.user: wrong"
    assert told("services.web") == "shop.yaml:3:3: services.web: wrong"
    assert told("services.other.task.container.image") == "services.other.task.container.image: wrong"
    assert told("stack") == "stack: wrong"
    assert told("") == "wrong"
