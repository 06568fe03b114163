"""The playground itself: begun from nothing, whatever is left of an earlier one."""

import os

import pytest

from cli.contexts.contexts import Contexts
from cli.playground.layout import Layout
from cli.playground.playground import Playground
from shoal.api.v1.control_pb2 import ListNetworksRequest, ListNodesRequest
from shoal.errors import Refused
from tests.integration.cluster.subnets import beside, free_subnet


def test_after_a_restart_of_the_machine_it_begins_from_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("again")
    layout = Layout(f"r{os.getpid() % 1_000_000}", 1, beside(free_subnet()), root / "state", root / "run")
    said: list[str] = []
    playground = Playground(layout, contexts=Contexts(root / "config"), say=said.append)
    # Namespaces, links and processes went with the machine; what was on its disk did not.
    for left in (layout.manager_state / "etcd" / "member", layout.manager_state / "admin", layout.host(1).state):
        left.mkdir(parents=True)
        (left / "key.pem").write_text("of a cluster that is gone")
    try:
        playground.up()
        assert "removing what is left" in said[0]
        with playground.client() as client:
            assert len(client.call(client.control.ListNodes, ListNodesRequest()).nodes) == 1
            assert not client.call(client.control.ListNetworks, ListNetworksRequest()).networks
        with pytest.raises(Refused, match="is up already"):
            playground.up()
    finally:
        playground.down()
    assert not layout.state.exists()
