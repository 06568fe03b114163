"""Hosts for the network's tests."""

from collections.abc import Iterator

import pytest

from tests.integration.network.netns_hosts import Hosts


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Two hosts and a client on one underlay, gone afterwards."""
    with Hosts() as laboratory:
        yield laboratory
