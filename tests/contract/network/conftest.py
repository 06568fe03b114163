"""What the tests of this folder have in common."""

import os
from collections.abc import Iterator

import pytest

from agent.network.attachments.namespaces import create_namespace


@pytest.fixture
def home() -> Iterator[int]:
    """A network namespace with nothing in it, by its descriptor."""
    descriptor, connection = create_namespace()
    connection.close()
    yield descriptor
    os.close(descriptor)
