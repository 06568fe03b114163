"""docs/operations.md: each of its lines does what the document shows."""

from collections.abc import Iterator

import pytest

from tests.integration.operations.documented_cluster import DocumentedCluster, sections
from tests.integration.operations.documented_hosts import documented_hosts
from tests.integration.operations.documented_steps import DocumentedStep

SECONDS = 120.0
SECTIONS = sections()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentedCluster]:
    with documented_hosts(tmp_path_factory.mktemp("docs")) as hosts:
        yield DocumentedCluster(hosts, seconds=SECONDS)


@pytest.mark.timeout(390)
@pytest.mark.parametrize("steps", [steps for _, steps in SECTIONS], ids=[section for section, _ in SECTIONS])
def test_section(cluster: DocumentedCluster, steps: list[DocumentedStep]) -> None:
    """Sections follow one another, as in the document."""
    for step in steps:
        cluster.run(step)
