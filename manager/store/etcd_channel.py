"""The gRPC channel to etcd: where it is, who we are to it, and how soon a dead connection is noticed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

_OPTIONS: tuple[tuple[str, str | int], ...] = (
    # A resumed watch came as one message of 12.7 MB; with the default of 4 MB every retry fails.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True)
class EtcdTls:
    """PEM files for mutual TLS with etcd.

    Attributes:
        server_name: what etcd's certificate must be for, where that is not the address; empty otherwise.
    """

    ca: Path
    certificate: Path
    key: Path
    server_name: str = ""


def socket_channel(socket: Path) -> grpc.aio.Channel:
    """To the etcd that this manager runs, by a socket that only our user can reach."""
    return grpc.aio.insecure_channel(f"unix:{socket}", options=list(_OPTIONS))


def cluster_channel(endpoints: Sequence[str], tls: EtcdTls | None) -> grpc.aio.Channel:
    """To an etcd cluster of someone else.

    Args:
        endpoints: HOST:PORT with IPv4 addresses, of any of its members; one may be a DNS name if it is the only one.

    Raises:
        OSError: a PEM file cannot be read.
    """
    target = endpoints[0] if len(endpoints) == 1 else "ipv4:" + ",".join(endpoints)
    options = list(_OPTIONS)
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    credentials = grpc.ssl_channel_credentials(tls.ca.read_bytes(), tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.aio.secure_channel(target, credentials, options=options)
