"""Compares the kernel's actual state with the desired one, and repairs it. Blocking; single-threaded."""

from dataclasses import replace

from agent.network.datapath.comparison import Comparison, actual_state, retried_refusal
from agent.network.datapath.datapath_state import DatapathState
from agent.network.datapath.link_repair import ContainerMtus, LinkMtus, link_differences, restore_links
from agent.network.datapath.task_links import claim_message
from agent.network.kernel_state import desired_state, only_ipv4, plan
from agent.network.netlink import rtnetlink, rtnetlink_dump
from shoal.errors import Unavailable


class Reconciliation:
    """Repairs links, devices, tunnels, routes and the table."""

    def __init__(self, state: DatapathState) -> None:
        self._state = state
        self._link_mtus = LinkMtus()
        self._compared_once = False
        self.due = True
        """Whether something may differ: nothing has been compared yet, or the kernel refused a change."""

    def reconcile(self) -> list[str]:
        """Compare everything. Returns one line for each repair.

        Each part is done whatever the kernel refuses of the others; `findings` records all of it. Before the first
        change of the derived state the desired state is not known, so nothing is touched.

        Raises:
            Unavailable: the kernel refused the rules.
        """
        state = self._state
        if not state.has_applied:
            return []
        self.due = True
        found = Comparison()
        found.attempt(state.overlay.compare)
        found.attempt(lambda found: found.repaired.extend(state.tunnels.reconcile()))
        found.attempt(self._repair_links)
        found.attempt(self._repair_routes)
        try:
            found.repaired += state.table.repair(state.all_elements())
        except Unavailable as error:
            found.refused.append(str(error))
            raise
        finally:
            # What the first comparison adds was never there: no other program has changed it.
            state.findings.add_repairs(found.repaired if self._compared_once else ())
            state.findings.set_refusals(found.refused)
        self.due, self._compared_once = False, True
        return found.repaired

    def reconcile_tunnels(self) -> list[str]:
        """Reconcile the encrypted tunnels only; one line for each repair."""
        repaired = self._state.tunnels.reconcile()
        self._state.findings.add_repairs(repaired)
        return repaired

    def _repair_links(self, comparison: Comparison) -> None:
        """A task whose link was deleted gets another one, or is dropped when its namespace is gone."""
        state, attachments = self._state, self._state.attachments
        links = {link.index: link for link in rtnetlink_dump.links(state.connection)}
        lost = [each for each in attachments.values() if each.link not in links]
        ours = {each.link: each for each in attachments.values() if each.link in links}
        link_mtus = self._link_mtus.expected(links[index] for index in ours)
        for index, attachment in ours.items():
            if text := link_differences(links[index], attachment, link_mtus[index]):
                state.connection.apply([claim_message(attachment), rtnetlink.set_link(index, mtu=link_mtus[index])])
                comparison.repaired.append(f"link {attachment.name} {text}")
        container_mtus = ContainerMtus(state.overlay.underlay.overlay_mtu, state.tunnels.mtu)
        subnets = state.cluster.current.subnets
        restored = restore_links(lost, state.connection, subnets, container_mtus, claim_message, comparison)
        state.blackholes.replace_ended([attachments.pop(each.task_id) for each in lost if each not in restored])

    def _repair_routes(self, comparison: Comparison) -> None:
        state, overlay, attachments = self._state, self._state.overlay, self._state.attachments.values()
        actual = actual_state(state.connection, overlay.index, {each.link for each in attachments})
        desired = desired_state(
            state.cluster.current, attachments, overlay.index, state.local_pool, ipv6=overlay.has_ipv6
        )
        desired = replace(desired, routes=desired.routes | state.tunnels.routes | state.blackholes.routes)
        todo = plan(actual, desired if overlay.has_ipv6 else only_ipv4(desired))
        refusals = state.connection.attempt(todo)
        comparison.refused += (retried_refusal(each.reason) for each in refusals)
        refused = {id(each.message) for each in refusals}
        comparison.repaired += (
            f"kernel tables changed by another program; repaired: {each.description}"
            for each in todo
            if id(each) not in refused
        )
