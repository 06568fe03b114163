"""The managers that an agent knows: in an order of its own, durable, and never fewer than there are."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.session.manager_list import ManagerList
from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.errors import Unavailable
from shoal.rendezvous import ranked_servers

THREE = ("m1", "m2", "m3")


def addresses(*ids: str) -> list[ManagerAddress]:
    return [ManagerAddress(id=each, api_address=f"{each}:7440") for each in ids]


def made(path: Path, *ids: str, node_id: str = "n1", join_address: str = "") -> ManagerList:
    return ManagerList(path, node_id=node_id, initial=addresses(*ids), join_address=join_address)


def test_one_that_fails_is_tried_after_the_others(tmp_path: Path) -> None:
    managers = made(tmp_path / "managers.json", *THREE)
    order = managers.addresses
    whole = []
    for address in order:
        assert managers.first() == address
        whole.append(managers.all_failed)
        managers.mark_failed(address)
    assert [*whole, managers.all_failed] == [False, False, False, True]
    assert managers.addresses == order
    managers.mark_failed(order[0])
    managers.mark_reachable()
    assert not managers.all_failed
    assert managers.addresses == order


def test_what_was_told_lasts_and_what_was_removed_goes(tmp_path: Path) -> None:
    path = tmp_path / "managers.json"
    managers = made(path, "m1", join_address="m1:7442")
    managers.update(addresses(*THREE))
    managers.update([])
    again = ManagerList(path, node_id="n1")
    assert set(again.addresses) == {"m1:7440", "m2:7440", "m3:7440"}
    assert again.join_address == "m1:7442"
    again.update(addresses("m2", "m3"))
    assert set(ManagerList(path, node_id="n1").addresses) == {"m2:7440", "m3:7440"}


def test_managers_that_were_removed_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "managers.json"
    managers = made(path, *THREE)
    assert not managers.removed
    managers.update(addresses("m1", "m3"), ["m2"])
    managers.update(addresses("m1", "m3"))  # from a manager of an older release, or one that lags behind
    managers.update(addresses("m1"), ["m3"])
    assert ManagerList(path, node_id="n1").removed == {"m2", "m3"}


def test_an_address_that_changed_is_the_new_one(tmp_path: Path) -> None:
    managers = made(tmp_path / "managers.json", "m1")
    managers.update([ManagerAddress(id="m1", api_address="elsewhere:7440")])
    assert managers.addresses == ("elsewhere:7440",)


def test_the_join_address_that_is_told_at_a_start_counts(tmp_path: Path) -> None:
    path = tmp_path / "managers.json"
    made(path, "m1", join_address="m1:7442")
    assert ManagerList(path, node_id="n1", join_address="m9:7442").join_address == "m9:7442"
    assert ManagerList(path, node_id="n1").join_address == "m9:7442"


def test_one_that_is_preferred_comes_first_until_it_fails(tmp_path: Path) -> None:
    managers = made(tmp_path / "managers.json", *THREE)
    last = managers.addresses[-1]
    managers.prefer(last.removesuffix(":7440"))
    assert managers.first() == last
    managers.mark_failed(last)
    assert managers.addresses[-1] == last


@pytest.mark.parametrize(
    "damage", [b'{"removed": 7}', b"", b"{", b"[]", b'{"managers": 3}', b'{"managers": [{}, 4, {"id": "m"}]}']
)
def test_a_damaged_file_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "managers.json"
    path.write_bytes(damage)
    managers = ManagerList(path, node_id="n1")
    with pytest.raises(Unavailable, match="no manager is known"):
        managers.first()
    assert managers.all_failed
    managers.update(addresses("m1"))
    assert json.loads(path.read_bytes())["managers"] == [{"id": "m1", "api_address": "m1:7440"}]


def test_nodes_of_a_lost_manager_spread_over_the_others_and_nobody_else_moves() -> None:
    nodes = [f"n{number}" for number in range(3000)]
    before = {node: ranked_servers(node, THREE)[0] for node in nodes}
    after = {node: ranked_servers(node, THREE[1:])[0] for node in nodes}
    assert all(after[node] == before[node] for node in nodes if before[node] != "m1")
    lost = Counter(after[node] for node in nodes if before[node] == "m1")
    assert min(lost.values()) > 400
    assert min(Counter(before.values()).values()) > 900


@given(st.lists(st.text(max_size=8), unique=True, max_size=8), st.randoms())
def test_the_order_depends_on_the_ids_alone(ids: Iterable[str], random: object) -> None:
    listed = list(ids)
    shuffled = sorted(listed, key=lambda _: random.random())  # type: ignore[attr-defined]  # a Random
    assert ranked_servers("n", listed) == ranked_servers("n", shuffled)
