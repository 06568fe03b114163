"""A test run that is killed: it starts a container on a network of its own, prints names, and waits for its end."""

import json
import time

from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.labels import SESSION_ID
from testcontainers.core.network import Network

LABELS = {"org.testcontainers.session-id": SESSION_ID}


def main() -> None:
    """Start, print one line of JSON, sleep."""
    client = DockerClient().client
    network = Network().create()
    volume = client.volumes.create(labels=LABELS)
    server = DockerContainer("hello:1").with_network(network).with_volume_mapping(volume.name, "/data", "rw").start()
    names = {"container": server.get_wrapped_container().id, "network": network.name, "volume": volume.name}
    print(json.dumps(names), flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()
