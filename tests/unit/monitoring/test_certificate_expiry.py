"""The expiry of certificates is a gauge of each."""

from datetime import UTC, datetime

from shoal.identity.authority import Authority
from shoal.identity.certificates import expires_at
from shoal.identity.roles import CertificateSubject, Role
from shoal.monitoring.certificate_expiry import certificate_expiry


def test_each_certificate_has_a_series_with_the_end_of_its_life() -> None:
    now = datetime.now(UTC)
    issued = Authority.create("c1", now).issue(CertificateSubject("root", Role.ADMIN, "c1"), now)
    family = certificate_expiry({"client": issued.certificate, "ca": issued.ca})
    assert family.name == "shoal_certificate_expiry_timestamp_seconds" and family.label_names == ("certificate",)
    assert family.values == {
        ("client",): expires_at(issued.certificate).timestamp(),
        ("ca",): expires_at(issued.ca).timestamp(),
    }
