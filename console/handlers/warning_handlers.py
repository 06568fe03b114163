"""/api/cluster-warnings: what is wrong with managers, etcd and backups, and whether what managers say may be old."""

from collections.abc import Iterable

from aiohttp import web

from console.server.json_answers import answer
from shoal.api.v1.control_pb2 import (
    GetStoreRequest,
    ListManagersRequest,
    ListManagersResponse,
    ManagerView,
    StoreView,
)
from shoal.manager_calls.managers import Managers
from shoal.manager_calls.stale_reads import noting_stale_reads


class WarningHandlers:
    """What an operator of the cluster should know, on whatever page."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        yield web.get("/api/cluster-warnings", self.warnings)

    async def warnings(self, _: web.Request) -> web.StreamResponse:
        """Lines, and since when the managers that answered are disconnected from etcd, milliseconds; 0: none is."""
        control = self._managers.control
        with noting_stale_reads() as stale:
            managers = await self._managers.call(control.ListManagers, ListManagersRequest())
            if stale.since_ms:  # whether others run, and what etcd holds, is not known then
                return answer({"warnings": [], "staleSince": stale.since_ms})
            store = await self._managers.call(control.GetStore, GetStoreRequest())
        return answer({"warnings": cluster_warnings(managers, store), "staleSince": stale.since_ms})


def cluster_warnings(managers: ListManagersResponse, store: StoreView) -> list[str]:
    """Lines, what concerns the whole cluster first. Pure."""
    general = [each for each in (managers.warning, managers.backup_problem) if each]
    # A member that does not respond is its manager's line.
    members = [f"etcd {each.endpoint}: {each.problem}" for each in store.members if each.version and each.problem]
    return [*general, *(line for each in managers.managers for line in _manager_lines(each)), *members]


def _manager_lines(view: ManagerView) -> Iterable[str]:
    name = f"manager {view.manager.id} ({view.manager.api_address})"
    if not view.alive:
        yield f"{name} is down: start it again, or remove it with `shoal manager rm {view.manager.id}`"
    if view.membership.problem:
        yield f"{name}: {view.membership.problem}"
