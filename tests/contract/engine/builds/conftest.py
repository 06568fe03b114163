"""An engine with BuildKit's API before a node that only seems to build."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.engine.builds.build_node import BuildNode
from tests.contract.engine.builds.served_buildkit import served_buildkit
from tests.contract.engine.rig.served import Served


@pytest.fixture
def node() -> BuildNode:
    return BuildNode()


@pytest.fixture
def engine(node: BuildNode, tmp_path: Path) -> Iterator[Served]:
    with served_buildkit(node, tmp_path, forbid={"host-network", "privileged"}) as found:
        yield found
