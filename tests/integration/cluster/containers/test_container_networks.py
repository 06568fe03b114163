"""Networks of containers of one's own on three hosts: joined and left while they run, shared, linked, published."""

from functools import partial
from urllib.request import urlopen

import pytest

from shoal.container_ids import short_container_id
from tests.integration.cluster.containers.containers import inspect, load_image, node_of, run, script
from tests.integration.cluster.harness import Cluster

SERVE = script("mkdir -p /own", "hostname > /own/index.html", "exec httpd -f -p 8000 -h /own")


@pytest.fixture
def hosts(clean: Cluster) -> Cluster:
    """The cluster, with the image and a network."""
    load_image(clean)
    clean.quick("network", "create", "front", "--subnet", "10.77.1.0/24")
    return clean


def serve(cluster: Cluster, name: str, *options: str) -> None:
    """Run a server, and wait until it answers in its own container."""
    run(cluster, "--name", name, *options, program=SERVE)
    cluster.until(lambda: page(cluster, name, "127.0.0.1"), f"the server in {name}")


def page(cluster: Cluster, container: str, name: str, *, seconds: int = 10) -> str:
    """What a container gets from another one by a name; empty when it does not reach it in time."""
    done = cluster.run("exec", container, "timeout", str(seconds), "wget", "-q", "-O", "-", f"http://{name}:8000/")
    return done.stdout.strip() if done.returncode == 0 else ""


def is_apart(cluster: Cluster, container: str, name: str) -> bool:
    """Whether a container does not reach another one: nobody answers, which is no matter of patience."""
    return not page(cluster, container, name, seconds=3)


def short(cluster: Cluster, container: str) -> str:
    return short_container_id(inspect(cluster, container)["container"]["meta"]["id"])


def addresses(cluster: Cluster, container: str) -> list[str]:
    """Of its link, IPv4."""
    text = cluster.shoal("exec", container, "ip", "-4", "-o", "addr", "show", "dev", "eth0")
    return [line.split()[3].partition("/")[0] for line in text.splitlines()]


def test_a_running_container_joins_and_leaves_a_network(hosts: Cluster) -> None:
    serve(hosts, "db", "--node", "h2", "--network", "front")
    serve(hosts, "web", "--node", "h1")
    (pool,) = addresses(hosts, "web")
    assert is_apart(hosts, "web", "db")
    hosts.quick("network", "connect", "--alias", "www", "--ip", "10.77.1.77", "front", "web")
    assert page(hosts, "web", "db") == short(hosts, "db"), "at once: the call is answered when the address is there"
    for name in ("web", "www", short(hosts, "web"), "10.77.1.77"):
        hosts.until(partial(page, hosts, "db", name), f"the name {name} on another node")
    assert addresses(hosts, "web") == [pool, "10.77.1.77"]
    file = hosts.shoal("exec", "web", "cat", "/etc/hosts")
    assert f"10.77.1.77\t{short(hosts, 'web')}\n" in file
    assert "already connected" in hosts.refusal("network", "connect", "front", "web")

    host = hosts.host_of("h1")
    hosts.playground.stop_agent(host, kill=True)
    hosts.playground.start_agent(host)
    hosts.playground.wait_for_nodes(3)
    hosts.until(lambda: page(hosts, "web", "db"), "names and ways after a restart of the agent")

    hosts.quick("network", "disconnect", "front", "web")
    assert is_apart(hosts, "web", "db")
    assert addresses(hosts, "web") == [pool]
    assert "10.77.1.77" not in hosts.shoal("exec", "web", "cat", "/etc/hosts")
    hosts.until(lambda: is_apart(hosts, "db", "web"), "the name is gone")
    hosts.quick("network", "disconnect", "bridge", "web")
    assert addresses(hosts, "web") == []
    hosts.quick("network", "connect", "front", "web")
    assert page(hosts, "web", "db")
    hosts.quick("restart", "--time", "0", "web")
    assert page(hosts, "web", "db")


def test_a_change_while_the_agent_is_away_is_made_when_it_is_back(hosts: Cluster) -> None:
    serve(hosts, "db", "--node", "h2", "--network", "front")
    serve(hosts, "web", "--node", "h1")
    host = hosts.host_of("h1")
    hosts.playground.stop_agent(host, kill=True)
    assert "does not have its networks yet within 10 s" in hosts.refusal("network", "connect", "front", "web")
    hosts.playground.start_agent(host)
    hosts.playground.wait_for_nodes(3)
    hosts.until(lambda: page(hosts, "web", "db"), "the network that was joined meanwhile")


def test_a_network_processes_and_ipc_are_shared(hosts: Cluster) -> None:
    serve(hosts, "db", "--node", "h3")
    for kind in ("network", "pid", "ipc"):
        assert hosts.shoal("run", "--rm", f"--{kind}", "container:db", "hello:1", "true") == ""
    run(hosts, "--name", "side", "--network", "container:db")
    assert node_of(hosts, "side") == "h3"
    assert page(hosts, "side", "127.0.0.1") == short(hosts, "db")
    for file in ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname"):
        assert hosts.shoal("exec", "side", "cat", file) == hosts.shoal("exec", "db", "cat", file)
    assert "httpd" in hosts.shoal("run", "--rm", "--pid", "container:db", "hello:1", "ps", "-o", "args")
    hosts.shoal("exec", "db", "sh", "-c", "echo here > /dev/shm/note")
    assert hosts.shoal("run", "--rm", "--ipc", "container:db", "hello:1", "cat", "/dev/shm/note") == "here\n"

    hosts.quick("stop", "--time", "0", "db")
    refused = hosts.run("run", "--rm", "--network", "container:db", "hello:1", "true").stderr
    assert "cannot join network of a non running container: db" in refused
    assert inspect(hosts, "side")["state"] == "running"
    assert is_apart(hosts, "side", "127.0.0.1")
    hosts.quick("start", "db")
    hosts.until(lambda: page(hosts, "db", "127.0.0.1"), "the server in db")
    assert is_apart(hosts, "side", "127.0.0.1"), "as with Docker, it is in what is left of the old namespace"
    hosts.quick("restart", "--time", "0", "side")
    assert page(hosts, "side", "127.0.0.1") == short(hosts, "db")


def test_links_are_names_on_the_default_bridge_and_on_networks(hosts: Cluster) -> None:
    serve(hosts, "db", "--node", "h2", "--publish", "18085:8000")
    run(hosts, "--name", "web", "--link", "db:store")
    assert "STORE_NAME=/web/store\n" in hosts.shoal("exec", "web", "env")
    run(hosts, "--name", "other", "--node", "h2")
    assert node_of(hosts, "web") == "h2"
    assert page(hosts, "web", "store") == page(hosts, "web", "db") == short(hosts, "db")
    assert hosts.shoal("exec", "web", "hostname").strip() == short(hosts, "web")
    assert is_apart(hosts, "other", "db")
    assert is_apart(hosts, "other", addresses(hosts, "db")[0])
    hosts.quick("restart", "--time", "0", "db")
    hosts.until(lambda: page(hosts, "web", "store"), "the new run behind the same name")
    serve(hosts, "backend", "--node", "h3", "--network", "front")
    run(hosts, "--name", "client", "--node", "h1", "--network", "front", "--link", "backend:api")
    hosts.until(lambda: page(hosts, "client", "api"), "a link on a network")


def test_modes_addresses_and_a_mac_address(hosts: Cluster) -> None:
    assert hosts.shoal("run", "--rm", "--network", "none", "hello:1", "ip", "-o", "link").count("\n") == 1
    host = hosts.shoal("run", "--rm", "--network", "host", "--node", "h1", "hello:1", "hostname")
    assert host == "h1\n"
    run(hosts, "--name", "db", "--network", "front", "--ip", "10.77.1.9", "--mac-address", "02:42:ac:11:00:09")
    assert addresses(hosts, "db") == ["10.77.1.9"]
    assert "02:42:ac:11:00:09" in hosts.shoal("exec", "db", "ip", "-o", "link", "show", "dev", "eth0")
    assert hosts.shoal("exec", "db", "ping", "-c", "1", "-W", "2", "10.77.1.9")


def answer(address: str, port: int) -> str:
    try:
        with urlopen(f"http://{address}:{port}/", timeout=2) as response:
            text: str = response.read().decode().strip()
            return text
    except OSError:
        return ""


def test_ports_of_every_node_of_one_node_and_of_one_address(hosts: Cluster) -> None:
    every = {host.name: str(host.address) for host in hosts.layout.all_hosts()}
    serve(hosts, "mesh", "--node", "h1", "--publish", "18081:8000")
    serve(hosts, "own", "--node", "h2", "--label", "shoal.publish=node", "-p", "18082:8000")
    serve(hosts, "loop", "--node", "h3", "--publish", "127.0.0.1:18083:8000")
    for name, address in every.items():
        hosts.until(partial(answer, address, 18081), f"the mesh by {name}")
    hosts.until(lambda: answer(every["h2"], 18082), "its own node")
    assert not answer(every["h1"], 18082)
    assert not answer(every["h3"], 18083)
    on_h3 = ("run", "--rm", "--network", "host", "--node", "h3", "hello:1", "wget", "-q", "-O", "-")
    inner = hosts.until(lambda: hosts.run(*on_h3, "http://127.0.0.1:18083/").stdout, "its node's loopback address")
    assert inner.strip() == short(hosts, "loop")
    serve(hosts, "any", "--expose", "8000", "--publish-all")
    ports = inspect(hosts, "any")["status"]["mesh_ports"]
    hosts.until(lambda: answer(every["h1"], ports[0]["published"]), "a port that the cluster chose")
