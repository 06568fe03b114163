"""The keeper renews in time, saves, and outlives a refusal. Time is virtual."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shoal.errors import Unavailable
from shoal.identity import certificates
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.keeper import IdentityKeeper
from shoal.identity.roles import Caller, Role

START = datetime(2026, 3, 1, tzinfo=UTC)
LATER = START + timedelta(days=46)
AUTHORITY = Authority.create("cluster1", START)
CALLER = Caller("node1", Role.AGENT, "cluster1")
OLD = AUTHORITY.issue(CALLER, START)


async def _renewed(identity: Identity) -> Identity:
    certificate = AUTHORITY.sign(certificates.request(identity.key), CALLER, LATER)
    return Identity(certificate=certificate, key=identity.key, ca=identity.ca)


async def _refused(identity: Identity) -> Identity:
    raise Unavailable("no manager answers")


async def _never(identity: Identity) -> Identity:
    raise AssertionError("it was not due")


def test_nothing_is_asked_before_half_of_the_life(tmp_path: Path) -> None:
    keeper = IdentityKeeper(OLD, directory=tmp_path, renew=_never, clock=lambda: START + timedelta(days=44))
    asyncio.run(keeper.keep())
    assert keeper.current() is OLD


def test_a_renewed_identity_is_saved_and_current(tmp_path: Path) -> None:
    keeper = IdentityKeeper(OLD, directory=tmp_path, renew=_renewed, clock=lambda: LATER)
    asyncio.run(keeper.keep())
    assert keeper.current() == Identity.load(tmp_path) != OLD
    assert not certificates.needs_renewal(keeper.current().certificate, LATER)


def test_a_refusal_is_told_and_the_old_one_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeper = IdentityKeeper(OLD, directory=tmp_path, renew=_refused, clock=lambda: LATER)
    with caplog.at_level(logging.WARNING):
        asyncio.run(keeper.keep())
    assert keeper.current() is OLD
    assert "no manager answers" in caplog.text
    assert "2026-05-30" in caplog.text
