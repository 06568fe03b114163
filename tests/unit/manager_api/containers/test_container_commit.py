"""CommitContainer: what is asked of the node, what is put beside its layer, and that the name comes last."""

import json
from dataclasses import dataclass, field

import pytest

from manager.agents.agent_address import AgentAddress
from manager.containers.node_calls.container_commit import ContainerCommit
from shoal.api.v1.agent_containers_pb2 import CommitLayerRequest, CommitLayerResponse
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.engine_pb2 import CommitContainerRequest, SetImageRequest
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import OCI_LAYER_GZIP, OCI_MANIFEST
from shoal.errors import InvalidInput, NotFound, Refused, ShoalError, Unavailable
from shoal.images.committed_image import CommittedImage
from shoal.rpc.caller import Caller
from tests.unit.manager_api.containers.container_rig import IMAGE, ContainerRig, with_rig
from tests.unit.manager_api.control_rig import ADMIN

CONFIG = json.dumps({"config": {"Env": ["A=1"]}, "rootfs": {"diff_ids": [digest_of(b"d")]}, "os": "linux"}).encode()
LAYER = {"mediaType": OCI_LAYER_GZIP, "digest": digest_of(b"l"), "size": 1}
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {}, "layers": [LAYER]}).encode()


@dataclass
class Cluster:
    """Agents, the image repository and the names; `fails` names the step that fails."""

    fails: str = ""
    steps: list[str] = field(default_factory=list)
    asked: list[CommitLayerRequest] = field(default_factory=list)
    published: list[CommittedImage] = field(default_factory=list)
    repository: str = "registry:5000/shoal/pool"

    @property
    def name(self) -> str:
        if not self.repository:
            raise Refused("the cluster has no image repository")
        return self.repository

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.fails == name:
            raise Unavailable(f"{name} failed")

    async def commit_layer(self, agent: AgentAddress, request: CommitLayerRequest) -> CommitLayerResponse:
        self._step("layer")
        self.asked.append(request)
        return CommitLayerResponse(
            digest=digest_of(b"new"), size=3, media_type=OCI_LAYER_GZIP, diff_id=digest_of(b"n"),
            manifest=MANIFEST, config=CONFIG,
        )  # fmt: skip

    async def publish(self, image: CommittedImage, name: str) -> Image:
        self._step("publish")
        self.published.append(image)
        return Image(name=name, digest=image.manifest_digest)

    async def set(self, request: SetImageRequest, caller: Caller) -> Image:
        self._step("name")
        return request.image


def commits(rig: ContainerRig, cluster: Cluster) -> ContainerCommit:
    return ContainerCommit(store=rig.store, agents=cluster, publisher=cluster, names=cluster, now_ms=rig.clock)


def test_the_layer_then_the_documents_then_the_name() -> None:
    async def scenario(rig: ContainerRig) -> None:
        cluster = Cluster()
        task = TaskTemplate(container=ContainerSpec(image=IMAGE, command=["sh", "-c", "x"], env=["B=2"]))
        identifier = (await rig.create("db", task=task)).container.meta.id
        request = CommitContainerRequest(
            container="db", name="mine:1", author="Ann", message="m", changes=["CMD [\"top\"]", "LABEL a=b"],
        )  # fmt: skip
        image = await commits(rig, cluster).commit(request, ADMIN)
        assert (image.name, image.parent) == ("docker.io/library/mine:1", digest_of(CONFIG))
        assert cluster.steps == ["layer", "publish", "name"]
        (asked,) = cluster.asked
        assert (asked.container, asked.image_repository, asked.no_pause) == (identifier, cluster.name, False)
        config = json.loads(cluster.published[0].config)
        assert config["config"] == {"Env": ["A=1", "B=2"], "Cmd": ["top"], "Labels": {"a": "b"}}
        step = config["history"][-1]
        assert (step["created_by"], step["comment"], step["author"]) == ("sh -c x", "m", "Ann")
        assert json.loads(cluster.published[0].manifest)["layers"][1]["digest"] == digest_of(b"new")
        await commits(rig, cluster).commit(CommitContainerRequest(container="db", no_pause=True), ADMIN)
        assert cluster.asked[1].no_pause

    with_rig(scenario)


@pytest.mark.parametrize("step", ["layer", "publish", "name"])
def test_what_fails_on_the_way_leaves_no_name(step: str) -> None:
    async def scenario(rig: ContainerRig) -> None:
        cluster = Cluster(fails=step)
        await rig.create("db")
        with pytest.raises(ShoalError, match=f"{step} failed"):
            await commits(rig, cluster).commit(CommitContainerRequest(container="db", name="mine:1"), ADMIN)
        assert cluster.steps[-1] == step

    with_rig(scenario)


def test_every_fault_is_named_before_anything_is_asked() -> None:
    async def scenario(rig: ContainerRig) -> None:
        cluster = Cluster()
        await rig.create("db")
        request = CommitContainerRequest(
            container="db", name="Mine", author="a" * 5000, message="m" * 5000, changes=["RUN x", "ENV"]
        )
        with pytest.raises(InvalidInput) as caught:
            await commits(rig, cluster).commit(request, ADMIN)
        assert [each.path for each in caught.value.faults] == ["author", "message", "--change", "--change", "name"]
        digest = CommitContainerRequest(container="db", name=f"mine@{digest_of(b'x')}")
        with pytest.raises(InvalidInput, match="no digest"):
            await commits(rig, cluster).commit(digest, ADMIN)
        with pytest.raises(NotFound, match='container "none" not found'):
            await commits(rig, cluster).commit(CommitContainerRequest(container="none"), ADMIN)
        cluster.repository = ""
        with pytest.raises(Refused, match="no image repository"):
            await commits(rig, cluster).commit(CommitContainerRequest(container="db"), ADMIN)
        assert not cluster.steps

    with_rig(scenario)
