"""One build at the agent: its program, what the program asks, and what is kept of it."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import Any

from grpc import aio

from agent.build.build_host import BuildHost
from agent.build.build_process import BuildProcess
from agent.build.cache_records import Blob
from agent.build.frames import (
    ANSWER,
    BLOBS,
    DONE,
    FAILED,
    INPUT,
    LAYER,
    MADE,
    OUTPUT,
    PUBLISHED,
    QUESTION,
    SETTINGS,
    UPLOADED,
    NewLayer,
    decode_error,
    encode_error,
)
from agent.build.spare_program import SparePrograms
from agent.worker.error_handling import describe_error
from agent.worker.sandbox import ORDINARY
from shoal.api.v1.builds_pb2 import AgentBuildInput, AgentBuildOutput, AgentBuildStart, BuildInput, BuildOutput
from shoal.api.v1.task_pb2 import Task
from shoal.errors import InvalidInput, NotFound, ShoalError, Unavailable
from shoal.threaded_call import in_thread

BEHIND_SECONDS = 600.0
"""For the cluster's cache, once the image has been published."""

_log = logging.getLogger(__name__)


class RunningBuild:
    """One build. For one event loop."""

    def __init__(
        self,
        host: BuildHost,
        start: AgentBuildStart,
        messages: AsyncIterator[AgentBuildInput],
        programs: SparePrograms,
    ) -> None:
        self._programs = programs
        self._host = host
        self._start = start
        self._messages = messages
        self._process: BuildProcess | None = None
        self._layers: list[NewLayer] = []
        self._blobs: dict[str, Blob] = {}
        self._held: list[str] = []
        self._keeping = asyncio.Lock()
        self.is_published = False
        self._resolving: dict[str, asyncio.Future[str]] = {}
        self._outputs: asyncio.Queue[AgentBuildOutput] = asyncio.Queue(64)
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_network = False
        if start.network_task_id:
            host.sandboxes.use(start.network_task_id)
        self._reading: asyncio.Task[None] | None = None

    async def run(self) -> AsyncGenerator[AgentBuildOutput]:
        """The build's output; `end` has to follow.

        Raises:
            InvalidInput, NotFound, Refused, Exhausted, Unavailable: as the program ends.
        """
        start = self._start
        settings = await in_thread(lambda: self._host.make_directories(start.build_id, start.image_repository))
        self._process = process = self._programs.acquire()
        await process.open()
        await process.send(SETTINGS, settings.encode())
        await process.send(INPUT, BuildInput(start=start.start).SerializeToString())
        self._do(self._pass_input(process))
        self._reading = asyncio.create_task(self._read(process), name="output of a build")
        async with aclosing(self._answers(self._reading)) as outputs:
            async for output in outputs:
                yield output

    async def end(self) -> None:
        """Remove what is left of the build. One that has published its image may go on with the cluster's cache."""
        try:
            if self.is_published and self._reading is not None:
                await self._behind(self._reading)
        finally:
            await asyncio.shield(asyncio.create_task(self._stop()))

    async def _behind(self, reading: "asyncio.Task[None]") -> None:
        with suppress(ShoalError, TimeoutError):
            async with asyncio.timeout(BEHIND_SECONDS):
                while not reading.done():
                    await asyncio.wait([reading], timeout=1)
                    self._drop_outputs()
            await reading

    async def _stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        for task in self._tasks:
            task.cancel()
        await self._remove()

    def _drop_outputs(self) -> None:
        while not self._outputs.empty():
            self._outputs.get_nowait()

    async def _answers(self, reading: "asyncio.Task[None]") -> AsyncGenerator[AgentBuildOutput]:
        """Outputs of the program, and questions for the manager."""
        while True:
            if not self._outputs.empty():
                yield self._outputs.get_nowait()
                continue
            if reading.done():
                break
            next_output = asyncio.create_task(self._outputs.get())
            try:
                await asyncio.wait([reading, next_output], return_when=asyncio.FIRST_COMPLETED)
            finally:
                next_output.cancel()
            if next_output.done():
                yield next_output.result()
        reading.result()  # raises as the build ended

    async def _read(self, process: BuildProcess) -> None:
        async for kind, body in process.messages():
            if kind == OUTPUT:
                await self._outputs.put(AgentBuildOutput(output=BuildOutput.FromString(body)))
            elif kind == QUESTION:
                self._do(self._answer(json.loads(body)))
            elif kind == LAYER:
                self._layers.append(NewLayer.parse(body))
            elif kind == BLOBS:
                self._blobs |= _blobs(body)
            elif kind == UPLOADED:
                self._host.cache.set_uploaded(_blobs(body))
            elif kind == MADE:
                self._do(self._keep_early())
            elif kind == PUBLISHED:
                await self._keep_layers()
                self.is_published = True
                await self._outputs.put(AgentBuildOutput(published=body.decode()))
            elif kind == FAILED:
                raise decode_error(json.loads(body))
            elif kind == DONE:
                return
        raise Unavailable("the build program was killed; check whether the node is out of memory and try again")

    async def _pass_input(self, process: BuildProcess) -> None:
        complete = False
        try:
            async for message in self._messages:
                if message.HasField("resolved"):
                    self._resolved(message)
                elif message.HasField("input"):
                    complete = complete or message.input.HasField("end_context")
                    await process.send(INPUT, message.input.SerializeToString())
        except aio.UsageError:  # gRPC raises this when the call has ended, which ends the build
            return
        if not complete:
            await self._failed(InvalidInput("the context ended before it was complete"))

    async def _failed(self, error: ShoalError) -> None:
        """The caller has gone, or has sent too little: the program ends as soon as it is killed."""
        _log.info("build %s: %s", self._start.build_id, error)
        if self._process is not None:
            await self._process.end()

    def _resolved(self, message: AgentBuildInput) -> None:
        waiting = self._resolving.pop(message.resolved.reference, None)
        if waiting is None or waiting.done():
            return
        if message.resolved.error:
            waiting.set_exception(NotFound(message.resolved.error))
        else:
            waiting.set_result(message.resolved.resolved)

    async def _answer(self, question: Mapping[str, Any]) -> None:
        assert self._process is not None
        answer: dict[str, Any] = {"number": question["number"]}
        try:
            answer |= await self._asked(question)
        except ShoalError as error:
            answer["error"] = encode_error(error)
        except Exception as error:  # without an answer the program would wait for ever
            answer["error"] = encode_error(Unavailable(describe_error(f"build {self._start.build_id}", error)))
        await self._process.send(ANSWER, json.dumps(answer).encode())

    async def _asked(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        match question["call"]:
            case "image":
                return await self._image(question["reference"])
            case "resolve":
                return {"reference": await self._resolve(question["reference"])}
            case "layer":
                return await self._layer(question["reference"], question["diff_id"])
            case "find":
                return self._find(question["key"])
        return await self._network()

    def _find(self, key: str) -> Mapping[str, Any]:
        """A layer of the node's cache."""
        record = self._host.cache.find(key)
        if record is None:
            return {"found": False}
        self._hold(record.diff_id)
        found = {"found": True, "diff_id": record.diff_id, "created_at_ms": record.created_at_ms}
        blob = record.blob or self._host.cache.uploaded(record.diff_id)
        found |= {"blob": asdict(blob) if blob is not None else None, "is_published": record.blob is not None}
        return {**found, "directory": str(self._host.images.layer_directory(record.diff_id))}

    async def _layer(self, reference: str, diff_id: str) -> Mapping[str, Any]:
        """A layer of the cluster's cache, fetched as an image of one layer."""
        self._hold(diff_id)
        image = await self._host.images.ensure(reference, _ignore)
        return {"directory": str(image.layers[0])}

    def _hold(self, *diff_ids: str) -> None:
        self._host.images.hold_layers(diff_ids)
        self._held += diff_ids

    async def _keep_layers(self) -> None:
        """Put what was made so far into the image store and the cache."""
        async with self._keeping:
            layers, self._layers = self._layers, []
            await self._host.adopt(layers)
            self._host.cache.set_blobs(self._blobs)

    async def _keep_early(self) -> None:
        """While the image is published; a disk that fails is an error once that has been done."""
        layers = self._layers
        with suppress(ShoalError):
            await self._keep_layers()
            return
        self._layers = layers + self._layers

    async def _image(self, reference: str) -> Mapping[str, Any]:
        """An image on this host: its documents, and the directories of its layers, the lowest first."""
        pinned = reference if "@" in reference else await self._resolve(reference)
        image = await self._host.images.ensure(pinned, _ignore)
        manifest, config = self._host.images.documents(image.digest)
        self._hold(*json.loads(config)["rootfs"]["diff_ids"])
        return {
            "reference": image.reference,
            "directories": [str(each) for each in reversed(image.layers)],
            "manifest": manifest.decode(),
            "config": config.decode(),
        }

    async def _resolve(self, reference: str) -> str:
        """What a name means: a manager knows."""
        waiting = self._resolving.get(reference)
        if waiting is None:
            waiting = self._resolving[reference] = asyncio.get_running_loop().create_future()
            await self._outputs.put(AgentBuildOutput(resolve=reference))
        return await asyncio.shield(waiting)

    async def _network(self) -> Mapping[str, Any]:
        assert self._process is not None
        if self._start.network_task_id:
            sandbox = self._host.sandboxes.open(self._start.network_task_id)
        else:
            self._has_network = True
            sandbox = await self._host.networks.attach(Task(id=self._start.build_id), ORDINARY)
        try:
            self._process.send_descriptor(sandbox.netns_fd)
        finally:
            os.close(sandbox.netns_fd)
        addresses = {"addresses": dict(sandbox.addresses), "addresses6": dict(sandbox.addresses6)}
        return {"resolver": sandbox.resolver, **addresses}

    def _do(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _remove(self) -> None:
        if self._process is not None:
            await self._process.end()
        if self._has_network:
            with suppress(ShoalError):
                await self._host.networks.detach(self._start.build_id)
        if self._start.network_task_id:
            self._host.sandboxes.end(self._start.network_task_id)
        try:
            await self._keep_layers()
            await self._host.cache.save()
            await in_thread(lambda: self._host.remove(self._start.build_id))
        except ShoalError as error:
            _log.warning("build %s: %s", self._start.build_id, error)
        finally:
            self._host.images.release_layers(self._held)


def _blobs(body: bytes) -> dict[str, Blob]:
    return {diff_id: Blob(**fields) for diff_id, fields in json.loads(body).items()}


def _ignore(_: str) -> None:
    return None
