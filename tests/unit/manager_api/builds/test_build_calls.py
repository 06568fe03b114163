"""Build at a manager: what the node is sent and asks, that names come last, and callers who leave."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from manager.agents.agent_address import AgentAddress
from manager.builds.build_cache_handler import BuildCacheHandler
from manager.builds.build_handler import BuildHandler
from manager.images.image_records import record_key
from manager.store.changes import put
from manager.store.kinds import IMAGE
from shoal.api.v1.builds_pb2 import (
    AgentBuildInput,
    AgentBuildOutput,
    BuildCacheRow,
    BuildInput,
    BuildOutput,
    BuildSecret,
    BuildStart,
    ListBuildCacheRequest,
    ListBuildCacheResponse,
    NameIndexRequest,
    PruneBuildCacheRequest,
    PruneBuildCacheResponse,
    VertexLog,
)
from shoal.api.v1.engine_pb2 import SetImageRequest
from shoal.api.v1.standalone_pb2 import Image, ImageVariant
from shoal.distribution.digests import digest_of
from shoal.errors import InvalidInput, NotFound, Refused, ShoalError, Unavailable
from shoal.rpc.caller import Caller
from tests.unit.manager_api.control_rig import ADMIN, Api, with_api

NAME = "docker.io/library/web:1"
DIGEST, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
END = BuildInput(end_context=BuildInput.EndContext())


@dataclass
class Cluster:
    """One builder, the image repository and the names."""

    script: list[AgentBuildOutput] = field(default_factory=list)
    received: list[AgentBuildInput] = field(default_factory=list)
    named: list[Image] = field(default_factory=list)
    repository: str = "registry:5000/shoal/pool"
    built_at: list[str] = field(default_factory=list)
    adopted: list[tuple[str, bool]] = field(default_factory=list)
    closed: int = 0
    combined: list[tuple[str | bool, ...]] = field(default_factory=list)
    ended_early: bool = False

    @property
    def name(self) -> str:
        if not self.repository:
            raise Refused("the cluster has no image repository")
        return self.repository

    async def build(
        self, agent: AgentAddress, messages: AsyncIterator[AgentBuildInput]
    ) -> AsyncGenerator[AgentBuildOutput, None]:
        self.built_at.append(agent.node_id)
        inputs = messages.__aiter__()
        try:
            while not (self.received and self.received[-1].input.HasField("end_context")):
                message = await anext(inputs, None)
                if message is None:
                    self.ended_early = True
                    raise InvalidInput("the context is incomplete")
                self.received.append(message)
            for each in self.script:
                yield each
                if each.resolve:
                    self.received.append(await anext(inputs))
        finally:
            self.closed += 1

    async def make(self, network: str, build_id: str, node_id: str) -> str:
        return f"task of {network} at {node_id}" if network else ""

    async def adopt(self, digest: str, name: str, *, is_kept: bool) -> Image:
        self.adopted.append((name, is_kept))
        return Image(name=name, digest=digest, variants=[ImageVariant(config_digest=digest_of(b"config"))])

    async def combine(self, digests: Sequence[str], *, oci: bool) -> str:
        self.combined.append((*digests, oci))
        return digest_of("".join(digests).encode())

    async def set(self, request: SetImageRequest, caller: Caller) -> Image:
        self.named.append(request.image)
        return request.image

    async def list_build_cache(self, agent: AgentAddress, request: ListBuildCacheRequest) -> ListBuildCacheResponse:
        if agent.node_id == "n2":
            raise Unavailable("no response")
        return ListBuildCacheResponse(rows=[BuildCacheRow(id="a", bytes=5)])

    async def prune_build_cache(self, agent: AgentAddress, request: PruneBuildCacheRequest) -> PruneBuildCacheResponse:
        return PruneBuildCacheResponse(ids=[f"of-{agent.node_id}"], reclaimed_bytes=7)


def handler(api: Api, cluster: Cluster) -> BuildHandler:
    return BuildHandler(
        store=api.store, agents=cluster, repository=cluster, images=api.images, names=cluster, networks=cluster
    )


async def inputs(*messages: BuildInput) -> AsyncGenerator[BuildInput]:
    for message in messages:
        yield message


async def run(api: Api, cluster: Cluster, start: BuildStart, *messages: BuildInput) -> list[BuildOutput]:
    given = inputs(BuildInput(start=start), *(messages or (END,)))
    return [each async for each in handler(api, cluster).build(given, ADMIN)]


def test_a_build_goes_through_its_node_and_is_named_at_its_end() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("n1", "h1")
        log = AgentBuildOutput(output=BuildOutput(log=VertexLog(id="v", stream=1, data=b"hi\n")))
        cluster = Cluster([log, AgentBuildOutput(resolve="alpine"), AgentBuildOutput(published=digest_of(b"m"))])
        secret = BuildInput(secret=BuildSecret(id="k", value=b"v"))
        start = BuildStart(names=[NAME, "docker.io/library/web:latest"], network="front")
        place, line, end = await run(api, cluster, start, secret, BuildInput(context=b"tar"), END)
        assert (place.place.node_id, place.place.node_hostname, line.log.data) == ("n1", "h1", b"hi\n")
        first, *given, answer = cluster.received
        assert (first.start.image_repository, list(first.start.start.names)) == (cluster.name, list(start.names))
        assert first.start.network_task_id == "task of front at n1"
        assert [each.input.WhichOneof("kind") for each in given] == ["secret", "context", "end_context"]
        assert (answer.resolved.reference, "@sha256:" in answer.resolved.resolved) == ("alpine", True)
        assert [(each.name, each.built_on) for each in cluster.named] == [(name, "n1") for name in start.names]
        assert (end.result.digest, end.result.image_id) == (digest_of(b"m"), digest_of(b"config"))
        assert list(end.result.names) == list(start.names)

    with_api(scenario)


def test_the_same_image_again_is_neither_read_nor_named_anew() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("n1", "h1")
        cluster = Cluster([AgentBuildOutput(published=digest_of(b"m"))])
        other = "docker.io/library/web:2"
        await run(api, cluster, BuildStart(names=[NAME]))
        assert cluster.adopted == [(NAME, True)]
        record = Image(variants=[ImageVariant(config_digest=digest_of(b"c"))])
        record.MergeFrom(cluster.named[0])
        await api.store.commit([put(IMAGE, record_key(record), record)])
        *_, end = await run(api, cluster, BuildStart(names=[NAME, other]))
        assert (cluster.adopted[1:], [each.name for each in cluster.named[1:]]) == ([(other, True)], [other])
        assert (end.result.digest, end.result.image.name) == (digest_of(b"m"), NAME)
        cluster.script = [AgentBuildOutput(published=digest_of(b"n"))]
        await run(api, cluster, BuildStart(names=[NAME]))
        assert [(each.name, each.digest) for each in cluster.named[2:]] == [(NAME, digest_of(b"n"))]

    with_api(scenario)


def test_an_image_that_is_not_there_is_an_answer() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("n1", "h1")
        api.images.missing.add("alpine")
        cluster = Cluster([AgentBuildOutput(resolve="alpine"), AgentBuildOutput(published=digest_of(b"m"))])
        await run(api, cluster, BuildStart())
        assert cluster.received[-1].resolved.error == "no image alpine"
        assert [each.name for each in cluster.named] == [""]

    with_api(scenario)


def test_a_caller_who_leaves_ends_the_build() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("n1", "h1")
        cluster = Cluster([])
        never = asyncio.Event()

        async def waits() -> AsyncGenerator[BuildInput]:
            yield BuildInput(start=BuildStart())
            await never.wait()

        outputs = handler(api, cluster).build(waits(), ADMIN)
        await anext(outputs)
        reading = asyncio.create_task(anext(outputs))
        await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await outputs.aclose()
        assert cluster.closed == 1

    with_api(scenario)


class StuckNode(Cluster):
    """A node that reads nothing but the first message."""

    async def build(
        self, agent: AgentAddress, messages: AsyncIterator[AgentBuildInput]
    ) -> AsyncGenerator[AgentBuildOutput, None]:
        self.messages = messages
        self.received.append(await anext(messages))
        await asyncio.Event().wait()
        yield AgentBuildOutput()


def test_of_a_caller_who_leaves_while_the_node_reads_nothing_no_task_is_left() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("n1", "h1")
        cluster = StuckNode([])
        parts = [BuildInput(context=b"x") for _ in range(9)]
        before = asyncio.all_tasks()
        outputs = handler(api, cluster).build(inputs(BuildInput(start=BuildStart()), *parts), ADMIN)
        await anext(outputs)
        reading = asyncio.create_task(anext(outputs))
        await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.wait([reading])
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        assert [each async for each in cluster.messages] == []  # what gRPC does with them ends too

    with_api(scenario)


def test_input_that_ends_without_its_end_is_told_to_the_node() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("n1", "h1")
        cluster = Cluster([])
        with pytest.raises(InvalidInput, match="incomplete"):
            await run(api, cluster, BuildStart(), BuildInput(context=b"half"))
        assert cluster.ended_early

    with_api(scenario)


def test_the_first_message_is_checked_with_every_fault() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("n1", "h1")
        cluster = Cluster([])
        start = BuildStart(
            names=["web:1", "docker.io/library/a"], network="service:a", compression="lz4", memory_bytes=-1
        )
        with pytest.raises(InvalidInput) as caught:
            await run(api, cluster, start)
        paths = [each.path for each in caught.value.faults]
        assert paths == ["names[0]", "names[1]", "network", "compression", "memory_bytes"]
        with pytest.raises(InvalidInput, match="first message"):
            [each async for each in handler(api, cluster).build(inputs(END), ADMIN)]
        assert not cluster.built_at

    with_api(scenario)


@pytest.mark.parametrize("output", [BuildStart.IMAGE, BuildStart.FILES])
def test_only_an_image_needs_the_image_repository(output: "BuildStart.Output.ValueType") -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("n1", "h1")
        cluster = Cluster([AgentBuildOutput(output=BuildOutput(file_data=b"x"))], repository="")
        try:
            answers = await run(api, cluster, BuildStart(output=output))
        except ShoalError as error:
            assert output == BuildStart.IMAGE and "no image repository" in str(error)
        else:
            assert output == BuildStart.FILES and answers[1].file_data == b"x"

    with_api(scenario)


def test_the_cache_is_that_of_all_nodes_or_of_one() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("n1", "h1")
        await api.add_node("n2", "h2")
        caches = BuildCacheHandler(store=api.store, agents=Cluster())
        listed = await caches.list(ListBuildCacheRequest(), ADMIN)
        assert [(each.id, each.node_id, each.node_hostname) for each in listed.rows] == [("a", "n1", "h1")]
        assert list(listed.warnings) == ["node h2: no response"]
        pruned = await caches.prune(PruneBuildCacheRequest(), ADMIN)
        assert (list(pruned.ids), pruned.reclaimed_bytes) == (["of-n1", "of-n2"], 14)
        assert list((await caches.prune(PruneBuildCacheRequest(node="h2"), ADMIN)).ids) == ["of-n2"]
        with pytest.raises(NotFound):
            await caches.list(ListBuildCacheRequest(node="h9"), ADMIN)

    with_api(scenario)


def test_parts_of_an_index_have_no_names_and_the_index_has_them() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("n1", "h1")
        cluster = Cluster(script=[AgentBuildOutput(published=DIGEST)])
        outputs = await run(api, cluster, BuildStart(part_of_index=True), END)
        assert outputs[-1].result.digest == DIGEST and not cluster.named
        builds = handler(api, cluster)
        request = NameIndexRequest(digests=[DIGEST, OTHER], names=[NAME, NAME.replace(":1", ":2")], media_types="oci")
        result = await builds.name_index(request, ADMIN)
        assert cluster.combined == [(DIGEST, OTHER, True)] and list(result.names) == list(request.names)
        assert [each.name for each in cluster.named] == list(request.names)
        assert {each.digest for each in cluster.named} == {result.digest}
        with pytest.raises(InvalidInput) as raised:
            await builds.name_index(NameIndexRequest(digests=["x"], names=["Web"]), ADMIN)
        assert [each.path for each in raised.value.faults] == ["names[0]", "digests[0]"]
        with pytest.raises(InvalidInput, match="part_of_index"):
            await run(api, cluster, BuildStart(part_of_index=True, names=[NAME]), END)

    with_api(scenario)
