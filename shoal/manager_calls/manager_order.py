"""Which manager is asked first."""

import logging
from collections.abc import Sequence

_log = logging.getLogger(__name__)


class ManagerOrder:
    """Addresses of managers; the first that answers gets the calls.

    Attributes:
        addresses: `host:port`, in the order to try them in.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = list(addresses)

    def advance(self) -> bool:
        """Put the next one first; whether there is another one at all."""
        if len(self.addresses) < 2:
            return False
        self.addresses.append(self.addresses.pop(0))
        _log.info("calls go to the manager at %s now", self.addresses[0])
        return True
