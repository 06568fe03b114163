"""The next change of etcd's members, from what is recorded, what etcd lists, and which managers run. Pure.

One change at a time, and whatever has begun is finished first. The leader makes the change and asks again; a leader
that takes over decides from the same records, so it continues where the former one stopped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from manager.membership.member_api import PEER_SCHEME, EtcdMember, peer_url
from manager.membership.tolerance import removal_leaves_majority
from shoal.api.v1.cluster_pb2 import Manager, ManagerMembership

START_MS = 5 * 60_000
"""A learner that has not started for so long is removed: it keeps others from joining."""
HAND_OVER_MS = 5_000
"""A member that is being removed and leads has so long to hand over; then an election follows its removal."""
CATCH_UP_MS = 60 * 60_000
"""A learner that has started, but has not caught up for so long, too. etcd sends it at most 8 GiB."""

REQUESTED, LEARNER, VOTER = ManagerMembership.REQUESTED, ManagerMembership.LEARNER, ManagerMembership.VOTER
FAILED, REMOVING = ManagerMembership.FAILED, ManagerMembership.REMOVING


@dataclass(frozen=True)
class Situation:
    """What the decision is made from.

    Attributes:
        members: as etcd lists them.
        memberships: the records, by manager.
        managers: those that run, by id: each has a lease, which it renews through its own etcd.
        own_id: of the manager that decides, the leader.
        etcd_leader: the id of etcd's leading member; 0: unknown.
        now_ms: milliseconds since the Unix epoch.
    """

    members: Sequence[EtcdMember]
    memberships: Mapping[str, ManagerMembership]
    managers: Mapping[str, Manager]
    own_id: str
    etcd_leader: int
    now_ms: int

    def member(self, member_id: int) -> EtcdMember | None:
        """The member that has this id."""
        return next((each for each in self.members if each.id == member_id), None)

    def voters(self) -> list[ManagerMembership]:
        """The managers whose etcds vote, also one that is being removed; by id."""
        voting = {each.id for each in self.members if not each.is_learner}
        return [each for _, each in sorted(self.memberships.items()) if each.member_id in voting]


@dataclass(frozen=True)
class Record:
    """Only the record has to change: etcd is ahead of it."""

    membership: ManagerMembership


@dataclass(frozen=True)
class OpenPeers:
    """The only member listens on a Unix socket: give it an address, and start it again with TLS."""

    membership: ManagerMembership


@dataclass(frozen=True)
class AddLearner:
    """Add a manager's etcd, without a vote."""

    membership: ManagerMembership


@dataclass(frozen=True)
class Promote:
    """Give a learner its vote, if it has caught up."""

    membership: ManagerMembership


@dataclass(frozen=True)
class Evict:
    """Remove a learner that does not become a voter."""

    membership: ManagerMembership
    problem: str


@dataclass(frozen=True)
class UpdateAddress:
    """A manager is reached at another address now."""

    membership: ManagerMembership
    peer_address: str


@dataclass(frozen=True)
class HandOver:
    """The leader is to be removed: another manager has to lead, and does it."""


@dataclass(frozen=True)
class Remove:
    """Remove a member that an operator has removed."""

    membership: ManagerMembership


@dataclass(frozen=True)
class Forget:
    """A removed manager is no member any more: delete its records, and accept its certificate no longer."""

    membership: ManagerMembership


@dataclass(frozen=True)
class Postponed:
    """The change of this membership cannot be made yet.

    Attributes:
        problem: for an operator.
        urgent: it is one; otherwise nothing has to be done.
    """

    membership: ManagerMembership
    problem: str
    urgent: bool = True


MembershipChange = (
    Record | OpenPeers | AddLearner | Promote | Evict | UpdateAddress | HandOver | Remove | Forget | Postponed
)


def next_change(situation: Situation) -> MembershipChange | None:
    """The one change to make now; None: all is as it should be."""
    if (record := next(_records(situation), None)) is not None:
        return record
    removals = list(_removals(situation))
    # A removal that waits for more managers must not keep them from joining.
    possible = (each for each in removals if not isinstance(each, Postponed))
    for changes in (possible, _learners(situation), _addresses(situation), _requests(situation), iter(removals)):
        if (change := next(changes, None)) is not None:
            return change
    return None


def changed(
    membership: ManagerMembership,
    now_ms: int,
    *,
    state: ManagerMembership.State.ValueType = ManagerMembership.STATE_UNSPECIFIED,
    member_id: int | None = None,
    peer_address: str = "",
    problem: str = "",
) -> ManagerMembership:
    """A copy with these fields; what is not given stays, but for the problem."""
    copy = ManagerMembership()
    copy.CopyFrom(membership)
    if state and state != copy.state:
        copy.state, copy.since_ms = state, now_ms
    copy.member_id = copy.member_id if member_id is None else member_id
    copy.peer_address = peer_address or copy.peer_address
    copy.problem = problem
    return copy


def _records(situation: Situation) -> Iterator[Record]:
    """Records that differ from what etcd lists."""
    for manager_id, manager in sorted(situation.managers.items()):
        member = situation.member(manager.etcd_member_id)
        if member is not None and manager_id not in situation.memberships:
            yield Record(_membership_of(manager, member, situation.now_ms))
    for _, known in sorted(situation.memberships.items()):
        if (actual := _as_etcd_lists(known, situation)) is not None:
            yield Record(actual)


def _membership_of(manager: Manager, member: EtcdMember, now_ms: int) -> ManagerMembership:
    return ManagerMembership(
        manager_id=manager.id,
        state=LEARNER if member.is_learner else VOTER,
        since_ms=now_ms,
        peer_address=manager.etcd_peer_address,
        member_id=member.id,
    )


def _as_etcd_lists(known: ManagerMembership, situation: Situation) -> ManagerMembership | None:
    """The record as it should be; None: it is."""
    now_ms = situation.now_ms
    if known.state == REQUESTED:
        member = _unrecorded_member(known, situation)
        if member is None:
            return None
        state = LEARNER if member.is_learner else VOTER
        return changed(known, now_ms, state=state, member_id=member.id)
    if known.state not in (LEARNER, VOTER):
        return None
    member = situation.member(known.member_id)
    if member is None:
        problem = "its etcd is not a member any more; remove the manager with `shoal manager rm` and join it again"
        return changed(known, now_ms, state=FAILED, member_id=0, problem=problem)
    if known.state == LEARNER and not member.is_learner:
        return changed(known, now_ms, state=VOTER)
    return None


def _unrecorded_member(known: ManagerMembership, situation: Situation) -> EtcdMember | None:
    """The member that was added for a manager by a leader that could not record it: no two have the same URL."""
    url = peer_url(known.peer_address)
    recorded = {each.member_id for each in situation.memberships.values()}
    found = (each for each in situation.members if url in each.peer_urls and each.id not in recorded)
    return None if known.member_id else next(found, None)


def _removals(situation: Situation) -> Iterator[MembershipChange]:
    for _, removing in sorted(situation.memberships.items()):
        if removing.state == REMOVING:
            yield _removal(removing, situation)


def _removal(removing: ManagerMembership, situation: Situation) -> MembershipChange:
    member = situation.member(removing.member_id) or _unrecorded_member(removing, situation)
    others = [each for each in situation.voters() if each is not removing and each.manager_id in situation.managers]
    is_own = removing.manager_id == situation.own_id
    if member is None:
        return HandOver() if is_own else Forget(removing)
    if member.is_learner:
        return Remove(changed(removing, situation.now_ms, member_id=member.id))
    if not removal_leaves_majority(len(situation.voters()), len(others)):
        return Postponed(removing, f"{len(others)} other managers run, which is too few to continue without it")
    if is_own:
        return HandOver()
    if _leads_for_now(removing, situation):
        return Postponed(removing, "waiting for its etcd to hand over the leadership", urgent=False)
    return Remove(removing)


def _leads_for_now(removing: ManagerMembership, situation: Situation) -> bool:
    """Whether it leads etcd, and may be expected to hand that over; only it can."""
    waited = situation.now_ms - removing.since_ms
    return (
        removing.member_id == situation.etcd_leader
        and removing.manager_id in situation.managers
        and waited < HAND_OVER_MS
    )


def successor(situation: Situation) -> int | None:
    """The member to which the etcd of this manager, which is being removed, hands over the leadership; None: it does
    not lead, or stays.
    """
    own = situation.memberships.get(situation.own_id)
    if own is None or own.state != REMOVING or not own.member_id or own.member_id != situation.etcd_leader:
        return None
    others = [each for each in situation.voters() if each.state == VOTER and each.manager_id in situation.managers]
    return others[0].member_id if removal_leaves_majority(len(situation.voters()), len(others)) else None


def _learners(situation: Situation) -> Iterator[MembershipChange]:
    """etcd has one learner at a time, so nobody else joins until this one votes or is removed."""
    for _, learner in sorted(situation.memberships.items()):
        member = situation.member(learner.member_id)
        if learner.state != LEARNER or member is None:
            continue
        waited = situation.now_ms - learner.since_ms
        if not member.is_started and waited > START_MS:
            yield Evict(learner, "its etcd did not start; check its log, and port 7443 between the managers")
        elif waited > CATCH_UP_MS:
            yield Evict(learner, "its etcd did not catch up with the others")
        elif not member.is_started:
            yield Postponed(learner, "waiting for its etcd to start", urgent=False)
        else:
            yield Promote(learner)


def _addresses(situation: Situation) -> Iterator[UpdateAddress]:
    for manager_id, known in sorted(situation.memberships.items()):
        manager = situation.managers.get(manager_id)
        if manager is None or known.state not in (LEARNER, VOTER) or not manager.etcd_peers_open:
            continue
        member, address = situation.member(known.member_id), manager.etcd_peer_address
        if member is not None and (address != known.peer_address or peer_url(address) not in member.peer_urls):
            yield UpdateAddress(known, address)


def _requests(situation: Situation) -> Iterator[MembershipChange]:
    """The manager that has waited longest, once those that are there can take it in."""
    waiting = [each for each in situation.memberships.values() if each.state == REQUESTED]
    for request in sorted(waiting, key=lambda each: (each.since_ms, each.manager_id)):
        for voter in situation.voters():
            manager = situation.managers.get(voter.manager_id)
            if manager is None:
                problem = (
                    f"manager {voter.manager_id} is down: start it, or remove it with "
                    f"`shoal manager rm {voter.manager_id}` before another one joins"
                )
                yield Postponed(request, problem)
            elif not manager.etcd_peers_open or not _has_address(voter, situation):
                yield OpenPeers(voter)
        if (foreign := _foreign_learner(situation)) is not None:
            problem = (
                f"etcd has a learner that is of no manager, and takes no other one: remove it with "
                f"`etcdctl member remove {foreign.id:x}`"
            )
            yield Postponed(request, problem)
        yield AddLearner(request)


def _foreign_learner(situation: Situation) -> EtcdMember | None:
    """One that somebody has added by hand. Those that managers have added are recorded, or found by their URL."""
    recorded = {each.member_id for each in situation.memberships.values()}
    return next((each for each in situation.members if each.is_learner and each.id not in recorded), None)


def _has_address(voter: ManagerMembership, situation: Situation) -> bool:
    member = situation.member(voter.member_id)
    return member is not None and any(each.startswith(PEER_SCHEME) for each in member.peer_urls)
