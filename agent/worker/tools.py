"""What the runners of all tasks share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.health.probes import Prober
from agent.worker.datapath import Datapath
from agent.worker.disk_room import DiskRoom
from agent.worker.image_room import ImageRoom
from agent.worker.journal_keeper import JournalKeeper
from agent.worker.seams import Contents, Networks, Runtime, Volumes
from agent.worker.sharing import Sharing
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment
from shoal.api.v1.task_pb2 import TaskStatus
from shoal.templates import Node

ATTACHMENTS = 8


@dataclass(frozen=True)
class Tools:
    """What all runners of an agent share.

    Attributes:
        node: this one, for templates.
        contents: secrets and configs that managers have sent.
        volumes: those of this host.
        room: on the disk of containers, for which starts wait.
        sharing: who shares whose network here.
        starts: bounds how many containers are started at once; `attachments`, for how many the network is made ready.
            They are two, lest fifty tasks that come together all be attached before the first of them starts.
        report: takes each new status of a task.
        network: an assigned network by id, None when it is not known.
        host_resolv_conf: the node's own /etc/resolv.conf.
        now_ms: milliseconds since the Unix epoch.
    """

    node: Node
    prober: Prober
    runtime: Runtime
    images: ImageRoom
    room: DiskRoom
    networks: Networks
    datapath: Datapath
    journal: JournalKeeper
    contents: Contents
    volumes: Volumes
    sharing: Sharing
    starts: asyncio.Semaphore
    report: Callable[[TaskStatus], None]
    network: Callable[[str], NetworkAssignment | None]
    host_resolv_conf: Callable[[], str]
    now_ms: Callable[[], int]
    attachments: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ATTACHMENTS))
