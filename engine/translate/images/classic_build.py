"""The output of a build as the classic builder tells it, step by step in the order of the file. Pure.

    Step 2/5 : RUN make
     ---> Running in 3f32bc0d68db
    cc -o main main.c
     ---> Removed intermediate container 3f32bc0d68db
     ---> 0e0a59f2c456

Steps may be done side by side and in another order: what comes of one waits until those before it have been reported.
"""

import codecs
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.protocol.errors import bad_request
from shoal.api.v1.builds_pb2 import BuildFailure, BuildOutput, BuildPlan, BuildResult, Vertex, VertexStatus
from shoal.errors import InvalidInput, ShoalError
from shoal.image_reference import parse

Line = dict[str, Any]

MAX_WAITING_BYTES = 1 << 20
"""Of output of a step that waits for others; of more the beginning is left out."""
_RED, _PLAIN = "\x1b[91m", "\x1b[0m"
_STDERR = 2
_LINE = re.compile(r":([0-9]+)$")
_WITHOUT_CONTAINER = ("FROM", "COPY", "ADD")


@dataclass
class _Step:
    number: int
    text: str
    identifier: str
    stage: str = ""
    has_work: bool = True
    begun: bool = False
    ended: bool = False
    cached: bool = False
    error: str = ""
    image_id: str = ""
    is_headed: bool = False
    is_running_shown: bool = False
    output: list[tuple[int, bytes]] = field(default_factory=list)
    output_bytes: int = 0

    @property
    def container(self) -> str:
        """What stands for the container of the step, which has no name here."""
        return hashlib.sha256(f"{self.identifier} {self.number}".encode()).hexdigest()[:12]

    @property
    def is_base(self) -> bool:
        return self.text.partition(" ")[0].upper() == "FROM"

    @property
    def base_name(self) -> str:
        """What a FROM begins with."""
        words = self.text.split()[1:] if self.is_base else []
        return next((each for each in words if not each.startswith("--")), "").lower()

    @property
    def has_container(self) -> bool:
        return self.text.partition(" ")[0].upper() not in _WITHOUT_CONTAINER


class ClassicBuild:
    """The lines of one build.

    Args:
        labels: of the request; the classic builder has a step of its own for them.
        removes: as of `BuildRequest`.
    """

    def __init__(self, *, labels: Mapping[str, str], removes: bool, removes_always: bool, quiet: bool = False) -> None:
        self._labels = " ".join(f"{name}={value}" for name, value in sorted(labels.items()))
        self._removes = removes
        self._removes_always = removes_always
        self._quiet = quiet
        self._steps: dict[int, _Step] = {}
        self._by_id: dict[str, list[_Step]] = {}
        self._total = 0
        self._next = 1
        self._image_id = ""
        self._is_over = False
        self._warnings: list[str] = []
        self._decoders: dict[tuple[int, int], codecs.IncrementalDecoder] = {}
        self.failure: BuildFailure | None = None

    def lines(self, output: BuildOutput) -> list[Line]:
        """What an output adds to the stream."""
        match output.WhichOneof("kind"):
            case "plan":
                self._plan(output.plan)
            case "vertex":
                self._status(output.vertex)
            case "log":
                self._log(output.log.id, output.log.stream, output.log.data)
            case "warning" if not output.warning.rule:
                self._warnings.append(output.warning.text)
            case "failure":
                self.failure = output.failure
            case "result":
                self._image_id = output.result.image_id
                if (last := self._steps.get(self._total)) is not None:
                    last.image_id = self._image_id
                return [*self._reported(), *self._result(output.result)]
        return self._reported()

    def error(self, message: str) -> Line:
        """The last line of a build that has failed."""
        detail: Line = {"message": message}
        if self.failure is not None and self.failure.exit_code:
            detail = {"code": self.failure.exit_code, "message": self._exit_text() or message}
        return {"errorDetail": detail, "error": detail["message"]}

    def unfinished(self) -> list[Line]:
        """What stands before the error."""
        self._is_over = True
        lines = list(self._advance())
        step = self._steps.get(self._next)
        if step is not None and step.is_running_shown and self._removes_always:
            lines.append(_stream(f" ---> Removed intermediate container {step.container}\n"))
        return [] if self._quiet else lines

    def _exit_text(self) -> str:
        """Of a command that has failed."""
        failed = self._by_id.get(self.failure.vertex_id if self.failure is not None else "")
        if not failed or self.failure is None or not failed[0].text.upper().startswith("RUN "):
            return ""
        command = command_text(failed[0].text)
        return f"The command '{command}' returned a non-zero code: {self.failure.exit_code}"

    def _plan(self, plan: BuildPlan) -> None:
        """The steps; those that are known stay as they are."""
        instructions = [each for each in plan.vertices if each.step]
        self._total = max((each.steps for each in instructions), default=0) + bool(self._labels)
        for vertex in instructions:
            self._add(vertex)

    def _add(self, vertex: Vertex) -> None:
        known = self._steps.get(vertex.step)
        if known is not None and known.identifier == vertex.id:
            return
        step = _Step(vertex.step, vertex.instruction.partition("\n")[0], vertex.id, vertex.stage, bool(vertex.name))
        self._steps[vertex.step] = step
        self._by_id.setdefault(vertex.id, []).append(step)

    def _status(self, status: VertexStatus) -> None:
        for step in self._by_id.get(status.id, ()):
            step.begun = step.begun or bool(status.started_at_ms)
            step.ended = step.ended or bool(status.completed_at_ms)
            step.cached = step.cached or status.cached
            step.error = status.error or step.error
            step.image_id = status.image_id or step.image_id

    def _log(self, identifier: str, stream: int, data: bytes) -> None:
        """Output belongs to the first of the steps that are done by one vertex."""
        for step in self._by_id.get(identifier, ())[:1]:
            step.output.append((stream, data))
            step.output_bytes += len(data)
            while step.output_bytes > MAX_WAITING_BYTES:
                step.output_bytes -= len(step.output.pop(0)[1])

    def _reported(self) -> list[Line]:
        lines = list(self._advance())
        return [] if self._quiet else lines

    def _advance(self) -> Iterator[Line]:
        while (step := self._steps.get(self._next)) is not None and (step.begun or step.ended or self._is_passed(step)):
            yield from self._head(step)
            yield from self._output(step)
            if step.error:
                yield from self._running(step)
            if step.ended and not self._knows_cached(step):
                return
            if not step.ended or step.error or (step.number == self._total and not self._image_id):
                return  # of the last step the image's own id is reported
            yield from self._end(step)
            self._next += 1

    def _knows_cached(self, step: _Step) -> bool:
        """Whether a step without work was in the cache: the next one with work says it, or else the one before."""
        if step.has_work or step.is_base or step.is_running_shown:
            return True
        others = [each for _, each in sorted(self._steps.items()) if each.has_work and each.stage == step.stage]
        after = next((each for each in others if each.number > step.number), None)
        if after is None:
            before = [each for each in others if each.number < step.number and not each.is_base]
            step.cached = bool(before) and before[-1].cached
            return True
        if not after.ended and not after.output and not self._is_over:
            return False
        step.cached = after.ended and after.cached
        return True

    def _is_passed(self, step: _Step) -> bool:
        """Whether it is a step that has no work, and one after it has begun: FROM of another stage, or of none."""
        if (
            step.has_work
            or not step.is_base
            or not any(each.begun or each.ended for each in self._steps.values() if each.number > step.number)
        ):
            return False
        step.ended = step.cached = True
        step.image_id = self._image_of(step.base_name, step.number)
        return True

    def _image_of(self, name: str, before: int) -> str:
        """Of the last step of the stage, or of the image, that a FROM names; empty: of none."""
        found = [
            each.image_id
            for _, each in sorted(self._steps.items())
            if each.number < before and name in (each.stage.lower(), each.base_name) and each.image_id
        ]
        return found[-1] if found else ""

    def _head(self, step: _Step) -> Iterator[Line]:
        if not step.is_headed:
            step.is_headed = True
            yield _stream(f"Step {step.number}/{self._total} : {step.text}")
            yield _stream("\n")

    def _running(self, step: _Step) -> Iterator[Line]:
        """Once there is output, or at the end: a step that has begun may be found in the cache yet."""
        if step.has_container and not step.is_running_shown:
            step.is_running_shown = True
            yield _stream(f" ---> Running in {step.container}\n")

    def _output(self, step: _Step) -> Iterator[Line]:
        if step.output:
            yield from self._running(step)
        for stream, data in step.output:
            key = step.number, stream
            decoder = self._decoders.setdefault(key, codecs.getincrementaldecoder("utf-8")("replace"))
            if text := decoder.decode(data):
                yield _stream(f"{_RED}{text}{_PLAIN}" if stream == _STDERR else text)
        step.output.clear()
        step.output_bytes = 0

    def _end(self, step: _Step) -> Iterator[Line]:
        if not step.cached:
            yield from self._running(step)
        if step.cached and not step.is_running_shown and not step.is_base:
            yield _stream(" ---> Using cache\n")
        elif step.is_running_shown and self._removes:
            yield _stream(f" ---> Removed intermediate container {step.container}\n")
        yield _stream(f" ---> {short_id(step.image_id)}\n")

    def _result(self, result: BuildResult) -> Iterator[Line]:
        if self._quiet:
            yield _stream(f"{result.image_id}\n")
            return
        if self._labels:
            label = _Step(self._total, f"LABEL {self._labels}", "labels", ended=True, image_id=result.image_id)
            yield from self._head(label)
            yield from self._end(label)
        for text in self._warnings:
            yield _stream(f"{_RED}[Warning] {text}\n{_PLAIN}")
        yield {"aux": {"ID": result.image_id}}
        yield _stream(f"Successfully built {short_id(result.image_id)}\n")
        for name in result.names:
            yield _stream(f"Successfully tagged {parse(name).familiar}\n")


def dockerfile_error(error: ShoalError) -> ShoalError:
    """Faults of a Dockerfile with the words of the classic builder."""
    if not isinstance(error, InvalidInput):
        return error
    texts = []
    for fault in error.faults:
        match = _LINE.search(fault.path)
        texts.append(f"dockerfile parse error on line {match[1]}: {fault.message}" if match else str(fault))
    return bad_request("; ".join(texts))


def short_id(identifier: str) -> str:
    """The twelve digits that stand for an id."""
    return identifier.removeprefix("sha256:")[:12]


def command_text(instruction: str) -> str:
    """What a RUN has run, as it stands in the message about its failure."""
    words = instruction.partition(" ")[2].strip()
    while words.startswith("--"):
        words = words.partition(" ")[2].strip()
    if words.startswith("["):
        try:
            parts = json.loads(words)
        except ValueError:
            parts = None
        if isinstance(parts, list) and all(isinstance(each, str) for each in parts):
            return " ".join(parts)
    return f"/bin/sh -c {words}"


def _stream(text: str) -> Line:
    return {"stream": text}
