"""Gives a service's tasks nodes, addresses and ports, and writes them: placed, or PENDING with the reason."""

from collections.abc import Iterable, Sequence

from manager.planner.addresses6 import pool6
from manager.planner.affinity import Company, Kin
from manager.planner.demand import Demand
from manager.planner.draft import Draft
from manager.planner.driven_volumes import DrivenVolumes
from manager.planner.filters import Reason, explain, fitting, standing
from manager.planner.form import Form
from manager.planner.homes import Home, Homes, waiting
from manager.planner.ledger import Host, Port
from manager.planner.need import Need
from manager.planner.pools import Supply
from manager.planner.ports import choose_ports
from manager.planner.preempt import Preemption
from manager.planner.reasons import Pace
from manager.planner.schedule import free, places
from manager.planner.shared_network import SharedNetwork
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.network_modes import provider_of


class Placing:
    """Places tasks of one service and one revision.

    Attributes:
        besides: how many tasks were placed beside their predecessors.
    """

    def __init__(
        self, draft: Draft, *, service_id: str, spec: ServiceSpec, revision: int, demand: Demand, run: int = 0
    ) -> None:
        """`spec` is that in force, which may be an earlier one; `run` is that of a job's tasks."""
        self._draft = draft
        self._service_id, self._revision = service_id, revision
        self._company = Company(draft.view, draft.ledger, spec, draft.shy_of(spec.name))
        near = [each.service for each in spec.task.placement.affinities if not each.anti and not each.weight]
        self._preemption = Preemption(draft, demand, service=spec.name, spared=[*near, provider_of(spec.task)])
        self._demand = demand
        self._kin = Kin(draft.ledger, service_id, demand, {})
        self._pace = Pace.of((), draft.now_ms)
        self._networks: list[tuple[str, Supply, Supply | None]] = []
        self._supplies: list[Supply] = []
        self._volumes = Homes(draft, service_id, spec)
        self._shared = SharedNetwork(draft, spec)
        self._driven = DrivenVolumes(draft, service_id, revision)
        self._obstacle = self._driven.obstacle() or self._find_subnets()
        self._claims = bool(self._volumes or self._driven or demand.apart or demand.together)
        self.besides = 0
        self._run = run
        self._form = Form(self._blank())

    def _blank(self) -> Task:
        """What all tasks that are placed have in common."""
        task = Task(
            service_id=self._service_id,
            revision=self._revision,
            state=TaskState.ASSIGNED,
            desired_state=TaskState.RUNNING,
            run=self._run,
        )
        for network_id, _, _ in self._networks:
            task.addresses.add(network_id=network_id)
        return task

    def spread(self, needs: Sequence[Need], counts: dict[str, int], failing: Iterable[str]) -> list[str]:
        """Place tasks wherever they fit best; returns why some are not placed.

        Args:
            counts: the service's wanted tasks by node; kept up.
            failing: nodes where the service keeps failing.
        """
        demand = self._demand
        reason = demand.fault or self._obstacle
        self._kin = Kin(self._draft.ledger, self._service_id, demand, counts)
        self._pace = Pace.of((need.pending for need in needs if need.pending is not None), self._draft.now_ms)
        hosts = self._company.admitted(self._draft.ranked(demand)) if not reason else []
        held = [need.waits for need in needs if need.waits]
        if held:
            for need in needs:
                if need.waits:
                    self._postpone(need, need.waits)
            needs = [need for need in needs if not need.waits]
        if (self._shared or self._volumes) and not reason:
            needs, bound = self._send_where_bound(needs, counts)
            held += bound
        away = [] if reason else self._send_home(needs, hosts, counts)
        bars = self._changing_bars if demand.apart or demand.together or self._driven else free
        order = places(hosts, demand, counts, frozenset(failing), self._company.cost(), bars)
        for need in away if not reason else needs:
            if not reason and not (reason := self._exhausted()):
                host = next(order, None)
                if host is not None:
                    self._write(need, host)
                    continue
                if (room := self._preemption.make_room(self._admitted(hosts), counts)) is not None:
                    self._wait_for_room(need, room, counts)
                    continue
                reason = explain(self._draft.ledger.hosts.values(), demand, counts, self._bars)
            self._postpone(need, reason)
        return [*held, reason] if reason else held

    def _bars(self, host: Host) -> Reason | None:
        return self._company.bars(host) or self._changing_bars(host)

    def _changing_bars(self, host: Host) -> Reason | None:
        """What each task that is placed may change for the next one."""
        return self._kin.bars(host) or self._driven.bars(host)

    def _admitted(self, hosts: Sequence[Host]) -> Sequence[Host]:
        """Those that the service's own tasks do not keep others from."""
        if not (self._demand.apart or self._demand.together or self._driven):
            return hosts
        return [host for host in hosts if self._changing_bars(host) is None]

    def _send_where_bound(self, needs: Sequence[Need], counts: dict[str, int]) -> tuple[list[Need], list[str]]:
        """Place those that a volume or the network that they share binds to a node there or not at all; the others,
        and why some wait."""
        free: list[Need] = []
        held: list[str] = []
        for need in needs:
            if self._shared:
                why = self._send_to_network(need, counts)
            elif (home := self._volumes.home(need.slot)) is not None:
                why = self._send_to_volume(need, home, counts)
            else:
                free.append(need)
                continue
            if why:
                held.append(why)
                self._postpone(need, why)
        return free, held

    def _send_to_volume(self, need: Need, home: Home, counts: dict[str, int]) -> str:
        """Place a task where its data lies; why it waits, else empty."""
        if moving := self._volumes.moving(need.slot):
            return f"waits: {moving}"
        host = self._draft.ledger.hosts.get(home.node_id)
        name = self._draft.hostname(home.node_id)
        why = self._unfit(host, counts) if host is not None else ""
        if host is not None and not why:
            if occupied := self._volumes.occupied(need.slot, host.id):
                return occupied
            self._write(need, host)
            counts[host.id] = counts.get(host.id, 0) + 1
            return ""
        if host is not None and (room := self._make_room(host, counts)):
            return room
        down = self._draft.down(home.node_id)
        began_ms = need.pending.created_at_ms if need.pending is not None else self._draft.now_ms
        return waiting(home, need.slot, name, why, down.since_ms if down is not None else began_ms)

    def _send_to_network(self, need: Need, counts: dict[str, int]) -> str:
        """Place a task on the node of the task whose network it shares; why it waits, else empty."""
        found = self._shared.find(need.slot)
        if isinstance(found, str):
            return found
        host = found.host
        if why := self._shared.elsewhere(self._volumes, need.slot, host):
            return why
        if why := self._unfit(host, counts):
            return self._make_room(host, counts) or self._shared.there(need.slot, host, why)
        self._write(need._replace(network_of=found.task_id), host)
        counts[host.id] = counts.get(host.id, 0) + 1
        return ""

    def _make_room(self, host: Host, counts: dict[str, int]) -> str:
        """Displace tasks of lower priority on this very node; what is waited for then, empty where that is no help."""
        if standing(host, self._demand) is not None or self._bars(host) is not None:
            return ""
        if self._preemption.make_room([host], counts) is None:
            return ""
        counts[host.id] = counts.get(host.id, 0) + 1
        self._hold(host)
        return f"waits until tasks of lower priority have ended on node {self._draft.hostname(host.id)}"

    def _unfit(self, host: Host, counts: dict[str, int]) -> str:
        """Why a task of the service cannot be placed on this very node; empty when it can."""
        if exhausted := self._exhausted():
            return exhausted
        demand = self._demand
        reason = standing(host, demand) or self._bars(host) or fitting(host, demand, counts.get(host.id, 0))
        return reason.one if reason is not None else ""

    def _send_home(self, needs: Sequence[Need], hosts: Sequence[Host], counts: dict[str, int]) -> list[Need]:
        """Place those that return to their predecessor's node; the others."""
        if not any(need.home for need in needs):
            return list(needs)
        by_id = {host.id: host for host in hosts}
        left = []
        for need in needs:
            host = by_id.get(need.home)
            if host is None or self._unfit(host, counts):
                left.append(need)
            else:
                self._write(need, host)
                counts[host.id] = counts.get(host.id, 0) + 1
        return left

    def nowhere(self, slot: int, counts: dict[str, int]) -> str:
        """Why no node could have a task of the slot now; empty when one could. Room is made for it if need be."""
        if obstacle := self._demand.fault or self._obstacle or self._exhausted():
            return obstacle
        if self._shared:
            found = self._shared.find(slot)
            return found if isinstance(found, str) else self._unfit(found.host, counts)
        if self._volumes and (home := self._volumes.home(slot)) is not None:
            host = self._draft.ledger.hosts.get(home.node_id)
            is_fit = host is not None and not self._unfit(host, counts)
            return "" if is_fit else f"its volume {home.volume} is there; `shoal volume move` moves the data"
        self._kin = Kin(self._draft.ledger, self._service_id, self._demand, counts)
        hosts = self._admitted(self._company.admitted(self._draft.ranked(self._demand)))
        if any(fitting(host, self._demand, counts.get(host.id, 0)) is None for host in hosts):
            return ""
        if (room := self._preemption.make_room(hosts, counts)) is not None:
            self._hold(room)
        return explain(self._draft.ledger.hosts.values(), self._demand, counts, self._bars)

    def on(self, host: Host, need: Need, same_service: int) -> str:
        """Place a task on this node or not at all; returns why not, else an empty string."""
        obstacle = self._demand.fault or self._obstacle or self._exhausted()
        if self._shared and not obstacle:
            found = self._shared.find(host.id)
            obstacle = found if isinstance(found, str) else ""
            need = need._replace(network_of="" if isinstance(found, str) else found.task_id)
        barred = None if obstacle else self._company.bars(host) or self._driven.bars(host)
        reason = None if obstacle else barred or fitting(host, self._demand, same_service)
        if not obstacle and reason is None:
            self._write(need, host)
            return ""
        if not obstacle and barred is None and self._preemption.make_room([host], {host.id: same_service}):
            self._hold(host)
        self._draft.unplaced.add(self._service_id)
        name = host.status.description.hostname if host.status is not None else host.id
        return obstacle if reason is None else f"node {name} {reason.one}"

    def _find_subnets(self) -> str:
        draft, asked = self._draft, dict(self._demand.static)
        for network_id in self._demand.networks:
            network = draft.view.networks.get(network_id)
            allocation = draft.allocation(network_id)
            if network is None:
                return f"network {network_id} does not exist"
            if allocation is None:
                return f"network {network.spec.name} has no subnet: it overlaps another network's, or all are taken"
            pools = [network_id, pool6(network_id)] if allocation.subnet6 else [network_id]
            found = [Supply(draft, pool, asked.get(pool, "")) for pool in pools]
            self._networks.append((network_id, found[0], found[1] if allocation.subnet6 else None))
            self._supplies += found
        return ""

    def _exhausted(self) -> str:
        for supply in self._supplies:
            if obstacle := supply.obstacle():
                return obstacle
        return ""

    def _write(self, need: Need, host: Host) -> None:
        draft, demand, pending = self._draft, self._demand, need.pending
        self.besides += need.beside
        form = self._form.task
        identifier = form.id = pending.id if pending is not None else draft.new_id()
        form.created_at_ms = pending.created_at_ms if pending is not None else draft.now_ms
        form.slot, form.node_id, form.attempt = need.slot, host.id, need.attempt
        if self._shared:
            form.network_of = need.network_of
        if self._networks:
            self._give_addresses()
        if self._claims:
            self._claim(need, host)
        ports: list[Port] = []
        if demand.ports:
            del form.ports[:]
            form.ports.extend(choose_ports(draft.ledger, host, demand))
            ports += ((port.protocol, port.published, port.host_address) for port in form.ports)
        generic = host.stock.choose(demand.generic, demand.named) if demand.generic else ()
        if generic:
            del form.generic[:]
            form.generic.extend(generic)
        draft.ledger.reserve(host, self._service_id, demand.cpus, demand.memory, ports, generic)
        draft.add(identifier, self._form.copy())

    def _claim(self, need: Need, host: Host) -> None:
        """What the service's own wishes and volumes let the next tasks know."""
        if self._volumes:
            self._volumes.claim(need.slot, host.id)
        if self._driven:
            self._driven.claim(host.id)
        self._kin.join(host)

    def _wait_for_room(self, need: Need, host: Host, counts: dict[str, int]) -> None:
        counts[host.id] = counts.get(host.id, 0) + 1
        self._hold(host)
        name = host.status.description.hostname if host.status is not None else host.id
        self._postpone(need, f"waits until tasks of lower priority have ended on node {name}")

    def _hold(self, host: Host) -> None:
        """Against those that are planned after this service."""
        self._kin.join(host)
        demand = self._demand
        ports = [(port.protocol, port.published, port.host_address) for port in demand.ports if port.published]
        generic = [GenericResource(kind=kind, count=number) for kind, number in demand.generic.items()]
        self._draft.ledger.reserve(host, self._service_id, demand.cpus, demand.memory, ports, generic)

    def _postpone(self, need: Need, reason: str) -> None:
        self._draft.unplaced.add(self._service_id)
        pending = need.pending
        if need.beside:
            return
        told_at = 0
        if pending is not None and pending.revision == self._revision:
            if pending.reason == reason:
                return
            due = self._pace.due(pending, reason)
            if due is not None:
                self._draft.wake(self._service_id, due)
                return
            told_at = self._draft.now_ms
        identifier = pending.id if pending is not None else self._draft.new_id()
        task = Task(
            id=identifier,
            service_id=self._service_id,
            revision=self._revision,
            slot=need.slot,
            state=TaskState.PENDING,
            desired_state=TaskState.RUNNING,
            reason=reason,
            reason_at_ms=told_at,
            created_at_ms=pending.created_at_ms if pending is not None else self._draft.now_ms,
            attempt=need.attempt,
            run=self._run,
        )
        self._draft.add(identifier, task)

    def _give_addresses(self) -> None:
        places = self._form.places
        for at, (_, supply, supply6) in enumerate(self._networks):
            places[at].address = supply.give()
            if supply6 is not None:
                places[at].address6 = supply6.give()
