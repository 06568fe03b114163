"""The background work of a manager, whether it leads or not."""

import time
from contextlib import AbstractAsyncContextManager
from functools import partial

from manager.assembly.components import Components
from manager.assembly.leader import leader_work
from manager.assembly.shared import Shared, identity_directory
from manager.manager_identity import keep_credentials_valid, write_credentials
from manager.monitoring.manager_monitor import ManagerMonitor
from shoal.api.v1.cluster_pb2 import Manager
from shoal.daemons.heap_trimming import keep_freed_memory, trim_heap_forever
from shoal.monitoring.server import monitoring_server
from shoal.task_group import TaskGroup


def start_background_work(group: TaskGroup, shared: Shared, components: Components, manager: Manager) -> None:
    """Start all of it in a group.

    Args:
        manager: this manager's record.
    """
    group.create_task(components.dispatcher.run(), name="dispatcher")
    group.create_task(components.events.run(), name="events")
    group.create_task(components.formats.keep_file(), name="state format")
    _start_leadership(group, shared, components, manager)
    _start_place(group, components)
    _start_renewals(group, shared, components, manager)
    keep_freed_memory()
    group.create_task(trim_heap_forever(), name="heap")


def _start_leadership(group: TaskGroup, shared: Shared, components: Components, manager: Manager) -> None:
    place, leadership = components.place, components.leadership
    registered = leadership.register(lambda: shared.own.described(place.described(manager)), place.changed)
    group.create_task(registered, name="registration")
    group.create_task(components.clocks.run(), name="clocks")
    group.create_task(leadership.run(leader_work(shared, components)), name="leadership")


def _start_place(group: TaskGroup, components: Components) -> None:
    place = components.place
    group.create_task(place.hand_over_when_removed(), name="handing over etcd")
    group.create_task(place.remember_managers(), name="addresses of managers")
    group.create_task(place.leave_when_replaced(), name="comparison of epochs")
    group.create_task(place.keep_certificate_valid(), name="renewal of the certificate of etcd")


def _start_renewals(group: TaskGroup, shared: Shared, components: Components, manager: Manager) -> None:
    group.create_task(shared.own.keep_valid(components.place.changed.set), name="certificate renewal")
    write = partial(write_credentials, shared.settings, shared.authority, manager.api_address)
    group.create_task(keep_credentials_valid(write, time.time), name="renewal of certificates for contexts")


def make_monitoring(shared: Shared, components: Components) -> AbstractAsyncContextManager[int]:
    """Serves health checks and gauges, if the settings have an address for that."""
    monitor = ManagerMonitor(
        store=shared.store,
        etcd=shared.etcd,
        manager_id=shared.manager_id,
        sessions=lambda: len(components.dispatcher.applied(shared.store.tables.nodes)),
        identity=lambda: shared.own.current,
        quota_bytes=shared.quota_bytes,
    )
    settings, directory = shared.settings.monitoring, identity_directory(shared.settings)
    return monitoring_server(settings, checks=monitor.checks, collect=monitor.collect, identity=directory)
