"""Where networks without a subnet of their own get one: the cluster's setting, and what holds without it. Pure."""

from shoal.api.v1.cluster_pb2 import AddressPools

DEFAULT_POOL = "10.0.0.0/8"
PREFIX_LENGTH = 24
"""Bits of the prefix of a network's subnet."""


def pools_in_force(setting: AddressPools) -> AddressPools:
    """The setting, with the usual pool and prefix where it has none."""
    pools = list(setting.pools) or [DEFAULT_POOL]
    return AddressPools(pools=pools, prefix_length=setting.prefix_length or PREFIX_LENGTH)
