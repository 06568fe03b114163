"""Fixtures of the runtime's tests."""

import pytest

from tests.fakes import containers


@pytest.fixture(params=["crun", "runc"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The OCI runtime of all runtimes that the test opens: each of those that agents use."""
    name: str = request.param
    monkeypatch.setattr(containers, "PROGRAMS", (name,))
    return name
