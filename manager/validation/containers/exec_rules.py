"""Validation of requests to run a command in a container. Pure: yields every fault."""

from collections.abc import Iterator

from manager.validation import bounds
from manager.validation.containers.container_rules import check_user, check_variables
from manager.validation.text_rules import check_absolute, check_texts
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.errors import Fault


def check_exec(start: ExecStart) -> Iterator[Fault]:
    """Every fault, except whether the task exists."""
    if not start.args or not start.args[0]:
        yield Fault("args", "is required: a command")
    yield from check_texts("args", start.args)
    yield from check_variables("env", start.env)
    size = sum(len(text.encode()) + 1 for text in (*start.args, *start.env))
    if size > bounds.EXEC_BYTES:
        yield Fault("args", f"command and variables are too large: {size} bytes; the maximum is {bounds.EXEC_BYTES}")
    yield from check_user("user", start.user)
    if start.working_dir:
        yield from check_absolute("working_dir", start.working_dir)
