"""When certificates expire. Pure."""

from datetime import datetime, timedelta

from shoal.api.v1.diagnosis_pb2 import DiagnosisCheck
from shoal.host_checks.findings import failed, passed, warning
from shoal.identity.certificates import expires_at

SOON = timedelta(days=14)


def certificate_check(name: str, certificate: bytes, now: datetime, action: str) -> DiagnosisCheck:
    """Of a certificate (PEM).

    Args:
        name: whose it is: "node".
        action: what to do where it was not renewed.
    """
    end = expires_at(certificate)
    found = f"expires {end:%Y-%m-%d}"
    if end <= now:
        return failed(f"certificate {name}", f"expired {end:%Y-%m-%d}", action)
    return (warning if end - now < SOON else _passed)(f"certificate {name}", found, action)


def _passed(name: str, found: str, _: str) -> DiagnosisCheck:
    return passed(name, found)
