"""Manager calls: list, remove, promote."""

import asyncio
from collections import Counter
from collections.abc import Callable

from manager.membership.tolerance import Tolerance, removal_leaves_majority, tolerance
from manager.store.changes import ABSENT, delete, expect, put
from manager.store.kinds import MANAGER, MEMBERSHIP, REGISTERED_MANAGER
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.cluster_pb2 import Manager, ManagerMembership, RegisteredManager
from shoal.api.v1.control_pb2 import (
    ListManagersRequest,
    ListManagersResponse,
    ManagerView,
    PromoteManagerRequest,
    PromoteManagerResponse,
    RemoveManagerRequest,
    RemoveManagerResponse,
)
from shoal.errors import InvalidInput, NotFound, Refused
from shoal.rpc.caller import Caller

REMOVAL_SECONDS = 20.0
"""For the leader to remove the manager's etcd. It continues after that."""


class ManagerHandler:
    """The managers' calls.

    Args:
        backup_problem: what is wrong with scheduled backups; empty: nothing.
        now_ms: milliseconds since the Unix epoch.
    """

    def __init__(
        self, *, store: RecordStore, backup_problem: Callable[[], str] = lambda: "", now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._backup_problem = backup_problem
        self._now_ms = now_ms

    async def list(self, _: ListManagersRequest, caller: Caller) -> ListManagersResponse:
        tables = self._store.tables
        nodes = Counter(status.manager_id for status in tables.node_status.values())
        stands = tolerance_of(tables)
        return ListManagersResponse(
            managers=[_view(identifier, tables, nodes[identifier]) for identifier in _identifiers(tables)],
            voters=stands.voters,
            tolerated_failures=stands.failures,
            warning=stands.warning,
            backup_problem=self._backup_problem(),
        )

    async def remove(self, request: RemoveManagerRequest, caller: Caller) -> RemoveManagerResponse:
        """Agents forget its address. One with an etcd of its own loses its place among etcd's members and is no manager
        of the cluster any more; one with an external etcd is a manager as before once it is started again.

        Raises:
            Refused: it is running and `force` is not given; or too few would be left to decide.
        """
        identifier = self._find(request.manager)
        tables = self._store.tables
        if identifier in tables.managers and not request.force:
            raise Refused(f"manager {identifier} is running; stop it first, or use --force")
        membership = tables.memberships.get(identifier)
        if membership is None and tables.managers.get(identifier, Manager()).etcd_member_id:
            raise Refused(f"manager {identifier} has just started; try again in a few seconds")
        if membership is None or membership.state == ManagerMembership.EXTERNAL:
            await self._remove_registration(identifier)
        else:
            _check_majority(tables, membership)
            await self._request_removal(membership)
        return RemoveManagerResponse(id=identifier)

    async def promote(self, request: PromoteManagerRequest, caller: Caller) -> PromoteManagerResponse:
        """Try again to make a manager's etcd a voting member.

        Raises:
            Refused: nothing has failed.
        """
        identifier = self._find(request.manager)
        membership = self._store.tables.memberships.get(identifier)
        if membership is None or membership.state == ManagerMembership.EXTERNAL:
            raise Refused(f"manager {identifier} uses an external etcd, of which Shoal manages no members")
        if membership.state == ManagerMembership.VOTER:
            raise Refused(f"manager {identifier} already votes")
        if membership.state != ManagerMembership.FAILED:
            raise Refused(f"manager {identifier} is being added or removed: {membership.problem or 'in progress'}")
        await self._commit(membership, ManagerMembership.REQUESTED)
        return PromoteManagerResponse(id=identifier)

    async def _remove_registration(self, identifier: str) -> None:
        expects = [expect(MANAGER, identifier, ABSENT)]
        if identifier in self._store.tables.managers:
            raise Refused(f"manager {identifier} is running with an external etcd; stop it first")
        await self._store.commit(
            [delete(REGISTERED_MANAGER, identifier), delete(MEMBERSHIP, identifier)], expects=expects
        )

    async def _request_removal(self, membership: ManagerMembership) -> None:
        """Have the leader do it, and wait for a while.

        Raises:
            Refused: it cannot be done now; the leader continues to try.
        """
        identifier = membership.manager_id
        with self._store.follow() as changes:
            await self._commit(membership, ManagerMembership.REMOVING)
            try:
                async with asyncio.timeout(REMOVAL_SECONDS):
                    while identifier in self._store.tables.memberships:
                        await anext(changes)
            except TimeoutError:
                found = self._store.tables.memberships.get(identifier, membership)
                raise Refused(
                    f"manager {identifier} has not been removed yet: {found.problem or 'the leader does not respond'}; "
                    "it will be, as soon as that is possible"
                ) from None

    async def _commit(self, membership: ManagerMembership, state: ManagerMembership.State.ValueType) -> None:
        version = self._store.version_of(MEMBERSHIP, membership.manager_id)
        next_one = ManagerMembership()
        next_one.CopyFrom(membership)
        next_one.state, next_one.since_ms, next_one.problem = state, self._now_ms(), ""
        await self._store.commit(
            [put(MEMBERSHIP, next_one.manager_id, next_one)], expects=[expect(MEMBERSHIP, next_one.manager_id, version)]
        )

    def _find(self, reference: str) -> str:
        identifiers = _identifiers(self._store.tables)
        if reference in identifiers:
            return reference
        found = [each for each in identifiers if reference and each.startswith(reference)]
        if len(found) > 1:
            raise InvalidInput(
                f'manager ID prefix "{reference}" is ambiguous: it matches {len(found)} IDs; use a longer prefix'
            )
        if not found:
            raise NotFound(f'manager "{reference}" not found; list managers with `shoal manager ls`')
        return found[0]


def tolerance_of(tables: View) -> Tolerance:
    """What the cluster stands, as recorded."""
    voters = _voters(tables)
    return tolerance(len(voters), sum(each in tables.managers for each in voters))


def _voters(tables: View) -> list[str]:
    """Managers whose etcds vote, also those that are being removed."""
    voting = (ManagerMembership.VOTER, ManagerMembership.REMOVING)
    return [key for key, each in tables.memberships.items() if each.state in voting and each.member_id]


def _check_majority(tables: View, membership: ManagerMembership) -> None:
    voters = _voters(tables)
    others = [each for each in voters if each != membership.manager_id]
    running = sum(each in tables.managers for each in others)
    if membership.manager_id not in voters or removal_leaves_majority(len(voters), running):
        return
    if not others:
        raise Refused("this is the only manager; join another one first, with `shoal cluster join-token --manager`")
    raise Refused(
        f"without manager {membership.manager_id}, {running} of {len(others)} managers would run, too few to decide; "
        "start the others first"
    )


def _identifiers(tables: View) -> list[str]:
    return sorted({*tables.registered_managers, *tables.memberships})


def _view(identifier: str, tables: View, nodes: int) -> ManagerView:
    alive, leader = tables.managers.get(identifier), tables.leader
    view = ManagerView(
        manager=tables.registered_managers.get(identifier, RegisteredManager(id=identifier)),
        alive=alive is not None,
        leader=leader is not None and leader.manager_id == identifier,
        started_at_ms=alive.started_at_ms if alive is not None else 0,
        nodes=nodes,
        certificate_expires_at_ms=alive.certificate_expires_at_ms if alive is not None else 0,
        etcd_version=alive.etcd_version if alive is not None else "",
    )
    if (membership := tables.memberships.get(identifier)) is not None:
        view.membership.CopyFrom(membership)
        view.membership.ClearField("join_key_digest")
    return view
