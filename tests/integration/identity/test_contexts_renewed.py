"""A context's certificate is renewed by whatever command comes in the last third of its life."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shoal.contexts.certificate_renewal import renew_if_due
from shoal.contexts.context_store import ContextStore
from shoal.identity import certificates
from shoal.identity.authority import ADMIN_LIFETIME
from shoal.identity.identity import Identity
from shoal.identity.roles import Role
from tests.integration.identity.rig import cluster


def test_it_is_renewed_in_its_last_third_and_stays_private(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster() as made:
            now = datetime.now(UTC)
            early, late = (made.at(now - ADMIN_LIFETIME * part, Role.ADMIN) for part in (0.6, 0.7))
            for name, identity in (("early", early), ("late", late)):
                context = ContextStore(tmp_path).create(name, identity, [made.api])
                assert await asyncio.to_thread(renew_if_due, context, now) is None
            kept, renewed = (Identity.load(ContextStore(tmp_path).get(name).directory) for name in ("early", "late"))
            assert kept == early
            assert (renewed.key, renewed.ca) == (late.key, late.ca)
            assert certificates.key_matches(renewed.certificate, renewed.key)
            assert certificates.subject_of(renewed.certificate) == certificates.subject_of(late.certificate)
            assert certificates.expires_at(renewed.certificate) > now + ADMIN_LIFETIME - timedelta(days=1)
            place = ContextStore(tmp_path).get("late").directory
            assert (place / "key.pem").stat().st_mode & 0o777 == 0o600
            assert sorted(each.name for each in place.iterdir()) == ["ca.pem", "cert.pem", "context.toml", "key.pem"]

    asyncio.run(scenario())
