"""The commands about images as processes of their own, with a manager's calls over real gRPC and real registries."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from manager.cluster.cluster_handler import ClusterHandler
from manager.control_api.control_handlers import Handlers
from manager.control_api.images_servicer import ImagesService
from manager.control_api.servicer import ControlService
from manager.images.image_handler import ImageHandler
from manager.images.image_repository_client import ImageRepositoryClient
from manager.store.changes import put
from manager.store.kinds import CLUSTER
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Cluster
from shoal.api.v1.control_pb2_grpc import add_ControlServicer_to_server
from shoal.api.v1.engine_pb2_grpc import add_ImagesServicer_to_server
from shoal.api.v1.meta_pb2 import Meta
from shoal.contexts.context_store import ContextStore
from shoal.distribution.registries import Registries
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.grpc_server import listen, make_server
from shoal.rpc.manager_access import MANAGER_API
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.integration.registry_fixture import running_registry

CLUSTER_ID = "c"
_PROGRAM = "from cli.entry_point import program; program()"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        """Standard output."""
        return self.output.decode()

    @property
    def lines(self) -> list[str]:
        """Lines of standard output."""
        return self.text.splitlines()


@dataclass(frozen=True)
class CommandRig:
    """A cluster that is nothing but its managers' calls, and its registry.

    Attributes:
        registry: `host:port` of the cluster's.
        home: with DOCKER_CONFIG and SHOAL_CONFIG below it.
    """

    store: Store
    registry: str
    home: Path
    manager: str

    async def run(self, *words: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> Done:
        """Run `shoal`."""
        known = {
            **os.environ,
            "SHOAL_CONFIG": str(self.home / "shoal"),
            "DOCKER_CONFIG": str(self.home / "docker"),
            "PYTHONPATH": os.pathsep.join(sys.path),
            **(environment or {}),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM, *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=known,
        )
        output, errors = await process.communicate(stdin)
        assert process.returncode is not None
        return Done(process.returncode, output, errors.decode())

    async def good(self, *words: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> Done:
        """Run it, and see that it succeeds."""
        done = await self.run(*words, stdin=stdin, environment=environment)
        assert done.code == 0, done
        return done


@asynccontextmanager
async def command_rig(directory: Path, *, repository: bool = True) -> AsyncGenerator[CommandRig]:
    """A cluster whose image repository is set, or not."""
    authority = Authority.create(CLUSTER_ID, datetime.now(UTC))
    home = directory / "home"
    async with (
        running_registry(directory / "cluster") as registry,
        loaded_store(MemoryEtcd()) as store,
        ImageRepositoryClient(view=store.tables, registries=Registries()) as contents,
    ):
        await store.commit([put(CLUSTER, "", Cluster(meta=Meta(id=CLUSTER_ID)))])
        server = make_server(MANAGER_API)
        cluster = ClusterHandler(
            store=store,
            tokens=cast(Any, None),
            rotate_keys=cast(Any, None),
            maintenance=cast(Any, None),
            check_repository=contents.check,
            now_ms=_now_ms,
            version="test",
        )
        handlers = {name: cast(Any, None) for name in Handlers.__dataclass_fields__}
        add_ControlServicer_to_server(ControlService(Handlers(**{**handlers, "cluster": cluster})), server)
        images = ImageHandler(store=store, contents=contents, now_ms=_now_ms)
        add_ImagesServicer_to_server(ImagesService(images), server)
        identity = authority.issue(CertificateSubject("m", Role.MANAGER, CLUSTER_ID), datetime.now(UTC))
        port = listen(server, "127.0.0.1:0", lambda: identity)
        await server.start()
        admin = authority.issue(CertificateSubject("me", Role.ADMIN, CLUSTER_ID), datetime.now(UTC))
        (home / "shoal").mkdir(parents=True)
        ContextStore(home / "shoal").create("here", admin, [f"127.0.0.1:{port}"])
        rig = CommandRig(store, f"127.0.0.1:{registry.port}", home, f"127.0.0.1:{port}")
        try:
            if repository:
                await rig.good("cluster", "update", "--image-repository", rig.registry)
            yield rig
        finally:
            await server.stop(None)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
