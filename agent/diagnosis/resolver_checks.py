"""Whether the resolvers of this host respond: containers' queries go to them."""

import asyncio
from collections.abc import Sequence

from shoal.api.v1.diagnosis_pb2 import DiagnosisCheck
from shoal.host_checks.findings import passed, warning

MAX_RESOLVERS = 3
QUERY_SECONDS = 2.0


async def check_resolvers(resolv_conf: str) -> DiagnosisCheck:
    """Ask each for the root's servers; any answer is one."""
    addresses = resolvers_of(resolv_conf)
    if not addresses:
        return warning("DNS", "no resolver in /etc/resolv.conf", "name resolvers there: images of registries need them")
    silent = [
        address
        for address, answers in zip(addresses, await asyncio.gather(*map(_answers, addresses)), strict=True)
        if not answers
    ]
    if not silent:
        return passed("DNS", f"{', '.join(addresses)} respond")
    found = f"no response from {', '.join(silent)} within {QUERY_SECONDS:g} s"
    return warning("DNS", found, "correct /etc/resolv.conf, or allow UDP port 53 to them")


def resolvers_of(resolv_conf: str) -> Sequence[str]:
    """Addresses of the first ones (resolv.conf(5)). Pure."""
    rows = (line.split() for line in resolv_conf.splitlines())
    return [row[1] for row in rows if len(row) > 1 and row[0] == "nameserver"][:MAX_RESOLVERS]


async def _answers(address: str) -> bool:
    # Here: a diagnosis is rare, and the module is large.
    import dns.asyncquery
    import dns.exception
    import dns.message

    try:
        await dns.asyncquery.udp(dns.message.make_query(".", "NS"), address, timeout=QUERY_SECONDS)
    except (dns.exception.DNSException, OSError, ValueError):
        return False
    return True
