"""What an entry of the journal means to the agent's next process, with regard to restarts. Pure."""

from agent.worker.container_runtime import Exit, Running
from shoal.api.v1.journal_pb2 import JournalEntry
from shoal.restarts.runs import newest_run, restarted


def recovered_entry(entry: JournalEntry, found: Running | Exit | None, *, rebooted: bool) -> JournalEntry:
    """The entry as it is now.

    Args:
        found: the task's container on this host.
        rebooted: the host was restarted since it was written, so the journal's newest records may be missing: of an end
            too, that managers know. Then they decide.
    """
    new = JournalEntry()
    new.CopyFrom(entry)
    if rebooted:
        new.end_offered = entry.HasField("end")
        if entry.status.HasField("restarts"):
            new.status.restarts.starting = False
    elif entry.HasField("end") and isinstance(found, Running):
        # It was restarted, which could not be written.
        attempt = newest_run(entry.task, entry.status)[0].attempt + 1
        status = restarted(entry.status, entry.end, attempt=attempt, delay_ms=0, now_ms=found.started_ms)
        new.status.CopyFrom(status)
        new.ClearField("end")
        new.end_offered = False
    return new
