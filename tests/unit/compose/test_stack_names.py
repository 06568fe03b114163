"""Names of a stack's resources: in its files and in the cluster."""

from pathlib import Path
from typing import Any

import pytest

from shoal.compose.load import load_files
from shoal.compose.stack_names import StackNames

NAMES = StackNames("shop")

BODIES: list[tuple[dict[str, Any], str]] = [
    ({}, "shop_web"),
    ({"name": "site"}, "site"),
    ({"external": True}, "web"),
    ({"external": "true", "name": "site"}, "site"),
    ({"external": {"name": "site"}}, "site"),
    ({"external": False}, "shop_web"),
]


@pytest.mark.parametrize(("body", "name"), BODIES)
def test_a_resource_has_one_name_in_the_cluster_and_one_key_in_the_file(body: dict[str, Any], name: str) -> None:
    assert NAMES.resource("web", body) == name
    assert NAMES.key_of({"other": {}, "web": body}, name) == "web"


def test_a_name_without_a_key() -> None:
    assert NAMES.key_of({"web": None}, "shop_web") == "web"
    assert NAMES.key_of({"web": {}}, "web") is None
    assert NAMES.key_of({"shop_web": {}}, "shop_web") is None
    assert NAMES.full("shop_web") == "shop_shop_web"


def test_every_reference_within_the_stack_has_the_clusters_name(tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    path.write_text("""
services:
  web:
    image: x
    networks: [front, far]
    depends_on: [db]
    volumes: [data:/data]
    secrets: [pw]
    deploy: {placement: {x-affinities: ["service==db", "service!=web", "service!=cache,weight=5"]}}
  db: {image: x, network_mode: "service:web"}
networks: {front: , far: {external: true}}
volumes: {data: }
secrets: {pw: {environment: PW}}
""")
    web, db = load_files("shop", [path], {"PW": "x"}).checked().project.services
    assert (web.name, web.stack, db.name) == ("shop_web", "shop", "shop_db")
    attachments = [(each.network, list(each.aliases)) for each in web.task.networks]
    assert attachments == [("shop_front", ["web"]), ("far", ["web"])]
    assert [each.network for each in db.task.networks] == ["service:shop_web"]
    assert [each.service for each in web.depends_on] == ["shop_db"]
    assert [each.service for each in web.task.placement.affinities] == ["shop_db", "shop_web", "cache"]
    assert web.task.container.mounts[0].source == "shop_data"
    assert web.task.container.secrets[0].source == "shop_pw"
