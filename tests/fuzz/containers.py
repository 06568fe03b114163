"""What images and containers put before an agent: accounts, output, seccomp profiles, device specs, names, journals."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import yaml

from agent.cdi.spec_document import parse as parse_device_spec
from agent.journal.frames import frame, frames
from agent.runtime.confinement.seccomp_custom import custom_section
from agent.runtime.spec.user_lookup import resolve_user
from shoal.api.v1.streams_pb2 import LogBatch, LogChunk
from shoal.errors import InvalidInput, NotFound, ShoalError
from shoal.image_reference import parse as parse_reference
from shoal.logs.encoded_batch import Batch
from shoal.logs.log_lines import last_timestamp, parse_line, to_utc
from shoal.logs.ordered_logs import in_time_order
from shoal.spec_templates import fill_in, template_fault

EXAMPLES = (
    b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:\n",
    b"2026-11-27T10:11:12.123456789+02:00 stdout F hello\n",
    b"2026-11-27T10:11:12.1Z stderr P half",
    b'{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read"],'
    b'"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}],"includes":{"minKernel":"4.8"}}]}',
    b'{"cdiVersion":"0.6.0","kind":"vendor.com/gpu","devices":[{"name":"0","containerEdits":{"env":["A=1"]}}]}',
    b"registry.example:5000/a/b:1@sha256:" + b"0" * 64,
    b"{{.Service.Name}}-{{.Task.Slot}} {{ .Node.ID }}",
    frame("t1", b"value") + frame("t2", None),
)


def fuzz_accounts(data: bytes) -> None:
    """`/etc/passwd` and `/etc/group` of an image, and the user that it wants to be."""
    text = data.decode("utf-8", "replace")
    user, _, rest = text.partition("\n")
    for requested in (user[:40], "root", "0:0", "nobody", ""):
        try:
            found = resolve_user(requested, ["nogroup"], passwd=rest, group=rest)
        except ShoalError as error:
            assert str(error)
            continue
        assert 0 <= found.uid < 1 << 32 and 0 <= found.gid < 1 << 32


def fuzz_log_lines(data: bytes) -> None:
    """The file that conmon writes of a container's output, of which an end may be missing."""
    for line in data.split(b"\n"):
        parse_line(line)
        parse_line(line + b"\n")
    to_utc(data)
    last_timestamp(data)


def fuzz_merged_logs(data: bytes) -> None:
    """Logs of several containers, merged by the times that lines claim: nothing is added, nothing is missing."""
    logs = [log + b"\n" for log in data.split(b"\xff")]

    async def source(name: int, log: bytes) -> AsyncGenerator[LogBatch]:
        yield LogBatch(chunks=[LogChunk(task_id=str(name), lines=log)])

    async def merged() -> list[Batch]:
        sources = [source(name, log) for name, log in enumerate(logs)]
        return [batch async for batch in in_time_order(sources, batch_bytes=64)]

    found = dict.fromkeys(map(str, range(len(logs))), b"")
    for batch in asyncio.run(merged()):
        for run in batch.chunks:
            found[run.task_id] += run.lines
    assert list(found.values()) == logs


def fuzz_seccomp_profile(data: bytes) -> None:
    """A profile of the user's: a section for the runtime, or a refusal."""
    try:
        section = custom_section(
            data.decode("utf-8", "replace"), machine="x86_64", capabilities=["CAP_CHOWN"], kernel="6.1.0"
        )
    except InvalidInput as error:
        assert str(error)
        return
    json.dumps(section)


def fuzz_device_spec(data: bytes) -> None:
    """A spec of the Container Device Interface, which other programs put on the host."""
    text = data.decode("utf-8", "replace")
    for load in (json.loads, yaml.safe_load):
        try:
            document = load(text)
        except (ValueError, yaml.YAMLError, RecursionError):
            continue
        try:
            parse_device_spec(Path("/etc/cdi/x.json"), document)
        except InvalidInput as error:
            assert str(error)


def fuzz_image_reference(data: bytes) -> None:
    """An image's name: the same however it is written again."""
    try:
        found = parse_reference(data.decode("utf-8", "replace"))
    except InvalidInput as error:
        assert len(str(error)) < 2_000
        return
    assert parse_reference(str(found)) == found


def fuzz_template(data: bytes) -> None:
    """A value with placeholders: expanded, or a fault that is reported before anything runs."""
    text = data.decode("utf-8", "replace")
    if template_fault(text):
        return
    try:
        fill_in(text, {})
    except (NotFound, InvalidInput, KeyError) as error:
        assert str(error)


def fuzz_journal(data: bytes) -> None:
    """An agent's journal after a loss of power: whole records, in order, and nothing of what is damaged."""
    end = 0
    for name, value, size in frames(data):
        whole = frame(name, value)
        assert len(whole) == size
        end = data.index(whole, end) + size
