"""Health and metrics of a daemon that is a client of the managers: engine, console."""

from collections.abc import Awaitable, Callable, Sequence

from shoal.api.v1.control_pb2 import GetClusterRequest
from shoal.errors import ShoalError
from shoal.identity.identity import Identity
from shoal.manager_calls.managers import Managers
from shoal.metrics.families import MetricFamily, gauge
from shoal.monitoring.certificate_expiry import certificate_expiry
from shoal.monitoring.health import HealthCheck

CHECK_SECONDS = 2.0


class ClientMonitor:
    """Everything that such a daemon can be asked about itself.

    Args:
        name: of the program, in the names of metrics.
        own: more gauges.
    """

    def __init__(
        self,
        managers: Managers,
        *,
        name: str,
        identity: Callable[[], Identity],
        own: Callable[[], Sequence[MetricFamily]] = lambda: (),
    ) -> None:
        self._managers, self._name, self._identity, self._own = managers, name, identity, own

    async def checks(self) -> Sequence[HealthCheck]:
        """Whether the event loop serves and a manager answers."""
        return [HealthCheck("process", is_vital=True), HealthCheck("manager", await self._manager_problem())]

    async def collect(self) -> Sequence[MetricFamily]:
        """All gauges."""
        identity = self._identity()
        certificates = {"client": identity.certificate, "ca": identity.ca}
        return [
            gauge(
                f"shoal_{self._name}_manager_reachable", "Whether a manager answers.", not await self._manager_problem()
            ),
            certificate_expiry(certificates),
            *self._own(),
        ]

    async def _manager_problem(self) -> str:
        ask: Callable[..., Awaitable[object]] = self._managers.control.GetCluster
        try:
            await self._managers.call(ask, GetClusterRequest(), seconds=CHECK_SECONDS)
        except ShoalError as error:
            return str(error)
        return ""
