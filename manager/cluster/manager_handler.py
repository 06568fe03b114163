"""Manager calls: list, remove."""

from collections import Counter

from manager.store.changes import ABSENT, delete, expect
from manager.store.kinds import MANAGER, REGISTERED_MANAGER
from manager.store.record_store import RecordStore
from shoal.api.v1.cluster_pb2 import RegisteredManager
from shoal.api.v1.control_pb2 import (
    ListManagersRequest,
    ListManagersResponse,
    ManagerView,
    RemoveManagerRequest,
    RemoveManagerResponse,
)
from shoal.errors import InvalidInput, NotFound, Refused
from shoal.rpc.caller import Caller


class ManagerHandler:
    """The managers' calls."""

    def __init__(self, *, store: RecordStore) -> None:
        self._store = store

    async def list(self, _: ListManagersRequest, caller: Caller) -> ListManagersResponse:
        tables = self._store.tables
        nodes = Counter(status.manager_id for status in tables.node_status.values())
        leader = tables.leader
        views = []
        for identifier, registered in sorted(tables.registered_managers.items()):
            alive = tables.managers.get(identifier)
            views.append(
                ManagerView(
                    manager=registered,
                    alive=alive is not None,
                    leader=leader is not None and leader.manager_id == identifier,
                    started_at_ms=alive.started_at_ms if alive is not None else 0,
                    nodes=nodes[identifier],
                )
            )
        return ListManagersResponse(managers=views)

    async def remove(self, request: RemoveManagerRequest, caller: Caller) -> RemoveManagerResponse:
        """Agents forget its address; once started again, it is a manager as before.

        Raises:
            Refused: it is running.
        """
        identifier = self._find(request.manager).id
        if identifier in self._store.tables.managers:
            raise Refused(f"manager {identifier} is running; stop it first")
        await self._store.commit(
            [delete(REGISTERED_MANAGER, identifier)], expects=[expect(MANAGER, identifier, ABSENT)]
        )
        return RemoveManagerResponse(id=identifier)

    def _find(self, reference: str) -> RegisteredManager:
        registered = self._store.tables.registered_managers
        if exact := registered.get(reference):
            return exact
        found = [each for identifier, each in registered.items() if reference and identifier.startswith(reference)]
        if len(found) > 1:
            raise InvalidInput(
                f'manager ID prefix "{reference}" is ambiguous: it matches {len(found)} IDs; use a longer prefix'
            )
        if not found:
            raise NotFound(f'manager "{reference}" not found; list managers with `shoal manager ls`')
        return found[0]
