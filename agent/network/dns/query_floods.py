"""Containers that exceed the DNS query limit, from the counters of our rules. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from agent.network.attachments.attachment import Attachment


def query_floods(elements: Iterable[Mapping[str, Any]], attachments: Collection[Attachment]) -> list[str]:
    """One line for each task of this node that exceeded the limit in the last minute.

    Args:
        elements: of the set of links with counters (libnftables-json(5)); links that do not exist any more are ignored.
    """
    tasks = {attachment.name: attachment.task_id for attachment in attachments}
    dropped = {body["val"]: body["counter"]["packets"] for each in elements if "counter" in (body := each["elem"])}
    return [
        f"task {tasks[link]} exceeds the DNS query limit; {_order_of_magnitude(count)} queries dropped: "
        "cache answers in the application, or stop the task"
        for link, count in sorted(dropped.items())
        if link in tasks
    ]


def _order_of_magnitude(count: int) -> str:
    """The power of ten: a text that stays the same is reported once."""
    return f"more than {10 ** (len(str(count)) - 1):,}" if count >= 10 else "some"
