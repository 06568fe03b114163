"""Where the cluster's images are, as a client reaches them."""

from dataclasses import dataclass

from shoal.distribution.registries import Registries


@dataclass(frozen=True)
class ClusterRepository:
    """The cluster's image repository.

    Attributes:
        name: "registry:5000/shoal/pool".
        registries: with credentials for it, and for whatever it is copied from or to.
    """

    name: str
    registries: Registries
