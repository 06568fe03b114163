"""When a program's certificates expire, as a metric."""

from collections.abc import Mapping

from shoal.identity.certificates import expires_at
from shoal.metrics.families import MetricFamily, gauges


def certificate_expiry(certificates: Mapping[str, bytes]) -> MetricFamily:
    """The gauge.

    Args:
        certificates: in PEM, by what they are: "ca", "node".
    """
    return gauges(
        "shoal_certificate_expiry_timestamp_seconds",
        "When the certificate expires, seconds since the Unix epoch.",
        "certificate",
        {name: expires_at(pem).timestamp() for name, pem in certificates.items()},
    )
