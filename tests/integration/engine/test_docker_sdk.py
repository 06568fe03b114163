"""The docker SDK for Python against a cluster of three hosts: what a person does with it, a few broad tests."""

import io
import tarfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from docker.types import ConfigReference, EndpointSpec, Mount, RestartPolicy, SecretReference

from tests.integration.engine.conftest import HELLO, EngineCluster

pytestmark = [
    pytest.mark.parametrize("shared_engine", [3], indirect=True, ids=["three-hosts"]),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # the SDK's, of streams
]
Client = Any
"""`docker.DockerClient`: its types say of half of its answers that they may be None."""
SECONDS = 60.0
SERVE = "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three; exec sleep 300"


@pytest.fixture
def client(engine: EngineCluster) -> Iterator[Client]:
    with engine.client() as found:
        yield found


def until(condition: Callable[[], Any], what: str) -> Any:
    """Its value, once it is true."""
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def page(url: str) -> bytes:
    """What is served; empty as long as nothing is."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())
    return b""


def shell(client: Client, command: str, **options: Any) -> Any:
    """A container that runs a command until the test ends."""
    return client.containers.run(HELLO, ["sh", "-c", command], detach=True, **options)


def archive(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as files:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        files.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_containers_run_and_say_what_they_did(client: Client) -> None:
    output = client.containers.run(
        HELLO, ["sh", "-c", "echo $WHO from $(pwd); echo lost >&2"], environment={"WHO": "Ada"}, working_dir="/tmp",
        remove=True,
    )  # fmt: skip
    assert output == b"Ada from /tmp\n"
    with pytest.raises(ContainerError, match=r"non-zero exit status 3: .*why") as caught:
        client.containers.run(HELLO, ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    assert caught.value.exit_status == 3
    with pytest.raises(ImageNotFound):
        client.images.get("nothing:here")
    server = shell(client, SERVE, name="server", labels={"role": "x"}, mem_limit="64m", cpu_shares=512)
    (listed,) = client.containers.list(filters={"label": "role=x"})
    assert (listed.id, listed.status, listed.name, listed.image.tags) == (server.id, "running", "server", [HELLO])
    assert server.attrs["HostConfig"]["Memory"] == 64 << 20
    with pytest.raises(APIError, match="is already in use by container"):
        client.containers.create(HELLO, name="server")
    server.rename("renamed")
    server.reload()
    assert server.name == "renamed"
    server.restart(timeout=0)
    server.kill("SIGKILL")
    assert server.wait()["StatusCode"] == 137
    with pytest.raises(APIError, match="is not running"):
        server.kill()
    server.remove()
    with pytest.raises(NotFound):
        client.containers.get("renamed")


def test_logs_commands_files_and_figures_of_a_running_container(client: Client) -> None:
    server = shell(client, SERVE, name="server", environment=["constraint:node==h3"])
    until(lambda: b"three" in server.logs(), "lines")
    assert server.attrs["Node"]["Name"] == "h3"
    assert (server.logs(stderr=False), server.logs(stdout=False)) == (b"one\nthree\n", b"two\n")
    assert server.logs(tail=1, stderr=False) == b"three\n"
    assert server.logs(stdout=False, timestamps=True).split()[1] == b"two"
    followed = server.logs(stream=True, follow=True)
    assert next(followed).startswith(b"one")
    followed.close()
    done = server.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True)
    assert (done.exit_code, done.output) == (4, (b"out\n", b"err\n"))
    assert server.exec_run("id -u", user="1000").output == b"1000\n"
    assert b"".join(server.exec_run("seq 20000", stream=True).output).split()[-1] == b"20000"
    server.put_archive("/tmp", archive("note", b"kept"))
    pieces, about = server.get_archive("/tmp/note")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as files:
        content = files.extractfile("note")
        assert content is not None and content.read() == b"kept"
    assert (about["name"], about["size"]) == ("note", 4)
    assert {"Path": "/tmp/note", "Kind": 1} in server.diff()
    assert any("sleep" in row[-1] for row in server.top()["Processes"])
    figures = server.stats(stream=False)
    assert figures["pids_stats"]["current"] >= 1 and figures["memory_stats"]["usage"] > 0
    assert figures["name"] == "/server"
    server.pause()
    with pytest.raises(APIError, match="is paused"):
        server.exec_run("true")
    server.unpause()
    server.update(mem_limit="96m", memswap_limit="96m")
    server.reload()
    assert server.attrs["HostConfig"]["Memory"] == 96 << 20


def test_networks_and_volumes_join_containers_of_several_hosts(client: Client, engine: EngineCluster) -> None:
    front = client.networks.create("front", labels={"tier": "1"})
    volume = client.volumes.create("data", labels={"tier": "1"})
    web = client.containers.run(
        HELLO, detach=True, name="web", network="front", ports={"80/tcp": None}, environment=["constraint:node==h1"],
        volumes={"data": {"bind": "/www/data", "mode": "rw"}},
    )  # fmt: skip
    web.exec_run(["sh", "-c", "echo shared > /www/data/page"])
    own = ["wget", "-q", "-O", "-", "http://127.0.0.1/data/page"]
    until(lambda: web.exec_run(own).output == b"shared\n", "the server")
    fetch = ["wget", "-q", "-O", "-", "http://web/data/page"]
    for node in ("h1", "h2", "h3"):
        got = client.containers.run(
            HELLO, fetch, network="front", environment=[f"constraint:node=={node}"], remove=True
        )
        assert got == b"shared\n"
    web.reload()
    published = web.ports["80/tcp"][0]["HostPort"]
    until(lambda: page(f"http://{engine.address}:{published}/data/page") == b"shared\n", "the published port")
    read = client.containers.run(HELLO, ["cat", "/v/page"], mounts=[Mount("/v", "data", read_only=True)], remove=True)
    assert read == b"shared\n"
    back = client.networks.create("back")
    back.connect(web, aliases=["site"])
    got = client.containers.run(HELLO, ["wget", "-q", "-O", "-", "http://site/data/page"], network="back", remove=True)
    assert got == b"shared\n"
    back.disconnect(web)
    front.reload()
    assert [each.name for each in front.containers] == ["web"]
    with pytest.raises(APIError, match="has active endpoints"):
        front.remove()
    with pytest.raises(APIError, match="volume is in use"):
        volume.remove()
    web.remove(force=True)
    assert [each.name for each in client.networks.list(filters={"label": "tier=1"})] == ["front"]
    assert [each.name for each in client.volumes.list(filters={"label": "tier=1"})] == ["data"]
    assert client.networks.prune(filters={"label": "tier=1"})["NetworksDeleted"] == ["front"]
    assert client.volumes.prune(filters={"all": True, "label": "tier=1"})["VolumesDeleted"] == ["data"]


def test_images_are_committed_named_saved_and_pushed(client: Client) -> None:
    hello = client.images.get(HELLO)
    maker = shell(client, "echo made > /made", name="maker")
    assert maker.wait()["StatusCode"] == 0
    made = maker.commit("mine", "1", message="more", changes=["ENV A=1", 'CMD ["cat", "/made"]'])
    assert (made.tags, made.attrs["Parent"], made.attrs["Config"]["Cmd"]) == (["mine:1"], hello.id, ["cat", "/made"])
    assert made.history()[0]["Comment"] == "more"
    assert client.containers.run("mine:1", remove=True, environment=["constraint:node==h2"]) == b"made\n"
    pushed = "registry:5000/sdk/mine"
    assert made.tag(pushed, "1")
    lines = list(client.images.push(pushed, "1", stream=True, decode=True))
    digest = next(line["aux"]["Digest"] for line in lines if "aux" in line)
    saved = b"".join(made.save(named="mine:1"))
    maker.remove()
    client.images.remove("mine:1")
    client.images.remove(f"{pushed}:1")
    with pytest.raises(ImageNotFound):
        client.images.get("mine:1")
    about = client.images.get_registry_data(f"{pushed}:1")
    assert about.id == digest and about.has_platform("linux/amd64")
    assert client.images.pull(pushed, "1").id == made.id
    (loaded,) = client.images.load(saved)
    assert (loaded.id, set(loaded.tags)) == (made.id, {"mine:1", f"{pushed}:1"})
    assert [each.id for each in client.images.list("mine")] == [made.id]
    client.images.remove(made.id, force=True)
    assert client.images.list("mine") == []


def test_services_run_on_all_hosts_with_secrets_and_configs(client: Client, engine: EngineCluster) -> None:
    secret = client.secrets.create(name="key", data=b"hidden")
    config = client.configs.create(name="motd", data=b"on {{.Node.Hostname}}", templating={"name": "golang"})
    network = client.networks.create("mesh", driver="overlay")
    with pytest.raises(APIError, match="already exists"):
        client.secrets.create(name="key", data=b"other")
    ports: Any = {8090: 80}
    service = client.services.create(
        HELLO, name="web", mode={"replicated": {"Replicas": 3}}, networks=["mesh"], labels={"a": "b"}, maxreplicas=1,
        secrets=[SecretReference(secret.id, "key")], configs=[ConfigReference(config.id, "motd", filename="/motd")],
        endpoint_spec=EndpointSpec(ports=ports), restart_policy=RestartPolicy("any", window=0),
    )  # fmt: skip
    assert (service.attrs["Spec"]["Mode"], "PreviousSpec" in service.attrs) == ({"Replicated": {"Replicas": 3}}, False)
    running = until(lambda: _running(service, 3), "3 tasks")
    assert len({each["NodeID"] for each in running}) == 3
    assert {each["NodeID"] for each in running} == {each.id for each in client.nodes.list()}
    inside = [each for each in client.containers.list() if each.name.startswith("web.")]
    assert len(inside) == 3
    for each in inside:
        assert each.exec_run("cat /run/secrets/key /motd").output == f"hiddenon {each.attrs['Node']['Name']}".encode()
    for host in (1, 2, 3):
        url = f"http://{engine.cluster.layout.host(host).address}:8090/"
        until(partial(page, url), f"a page by {url}")
    assert service.attrs["Spec"]["TaskTemplate"]["Networks"] == [{"Target": network.id}]
    until(lambda: b"".join(service.logs(stdout=True)).count(b"hello 1 on") == 3, "a line of each task")
    service.update(env=["HELLO_VERSION=2"])
    service.reload()
    assert service.attrs["PreviousSpec"]["TaskTemplate"]["ContainerSpec"].get("Env") is None
    assert service.scale(1)
    until(lambda: len(_running(service, 1)) == 1, "one task")
    with pytest.raises(APIError, match="in use"):
        secret.remove()
    service.remove()
    until(lambda: not client.containers.list(sparse=True), "no task")
    config.remove()
    secret.remove()
    assert (client.secrets.list(), client.configs.list()) == ([], [])


def test_events_and_figures_of_the_whole(client: Client, engine: EngineCluster) -> None:
    seen: list[dict[str, Any]] = []
    follower = client.events(decode=True, filters={"type": "container", "container": "short"})

    def follow() -> None:
        for event in follower:
            seen.append(event)
            if event["Action"] == "destroy":
                return

    thread = threading.Thread(target=follow)
    thread.start()
    client.containers.run(HELLO, ["sh", "-c", "exit 2"], name="short", detach=True).wait()
    client.containers.get("short").remove()
    thread.join(SECONDS)
    follower.close()
    actions = [each["Action"] for each in seen]
    assert actions == ["create", "start", "die", "destroy"]
    assert seen[2]["Actor"]["Attributes"] | {"exitCode": "2", "image": HELLO} == seen[2]["Actor"]["Attributes"]
    about = client.info()
    assert (about["Swarm"]["LocalNodeState"], about["Swarm"]["Nodes"]) == ("active", 3)
    assert about["Containers"] == len(client.containers.list(all=True, sparse=True))
    assert client.ping() and client.version()["ApiVersion"] == client.api.api_version
    assert any(HELLO in (each["RepoTags"] or []) for each in client.df()["Images"])
    node = next(each for each in client.nodes.list() if each.attrs["Description"]["Hostname"] == "h2")
    node.update({**node.attrs["Spec"], "Availability": "pause", "Labels": {"disk": "ssd"}})
    node.reload()
    assert node.attrs["Spec"] == {"Availability": "pause", "Labels": {"disk": "ssd"}, "Role": "worker"}
    node.update({**node.attrs["Spec"], "Availability": "active", "Labels": {}})


def _running(service: Any, count: int) -> list[dict[str, Any]]:
    """The tasks that run, if there are so many."""
    tasks = [each for each in service.tasks({"desired-state": "running"}) if each["Status"]["State"] == "running"]
    return tasks if len(tasks) == count else []
