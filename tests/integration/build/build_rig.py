"""Builds on real parts: a build program, an image store, registries, an OCI runtime. Tests stand in for a manager."""

import asyncio
import io
import os
import tarfile
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.build.build_cache import BuildCache
from agent.build.build_host import BuildHost
from agent.build.running_build import RunningBuild
from agent.build.spare_program import SparePrograms
from agent.images.image_store import ImageStore
from agent.runtime.container_paths import ContainerPaths
from agent.runtime.kernel.cgroup_layout import parse_layout
from agent.runtime.kernel.linux import CLONE_NEWNET, unshare
from agent.safe_paths.mountinfo import read_mountinfo
from agent.worker.interfaces import Image
from agent.worker.sandbox import ORDINARY, NetworkOptions, Sandbox
from agent.worker.shared.build_sandboxes import BuildSandboxes
from cli.builds.context_listing import ListedDirectory
from cli.builds.known_digests import KnownDigests
from cli.images.pack import write_archive
from cli.images.push import push
from shoal.api.v1.builds_pb2 import (
    AgentBuildInput,
    AgentBuildStart,
    BuildInput,
    BuildOutput,
    BuildSecret,
    BuildStart,
    ContextRequest,
    NamedContextPart,
    ResolvedImage,
)
from shoal.api.v1.task_pb2 import Task
from shoal.distribution.registries import Registries
from shoal.errors import ShoalError
from shoal.ids import new_id
from tests.fakes.containers import new_cgroup
from tests.integration.images.rig import Entry, directory, entry, ignore, image_of, layer_of, store_in, symlink
from tests.integration.registry_fixture import running_registry

BUSYBOX = Path("/usr/bin/busybox").read_bytes()
APPLETS = (
    "sh", "echo", "mkdir", "rm", "sleep", "cat", "ls", "stat", "touch", "ln", "id", "env", "ip", "chown", "chmod", "mv",
    "cp", "test", "true", "false", "wget", "head", "dd", "find", "mount", "hostname", "pwd", "printf", "grep",
    "seq", "sort",
)  # fmt: skip
PASSWD = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"
GROUP = b"root:x:0:\napp:x:1000:\nstaff:x:50:app\n"

Files = Mapping[str, bytes | str | tarfile.TarInfo]
OnRequest = Callable[[ContextRequest], Iterator[BuildInput]]


class Namespaces:
    """Stands in for the node's network: a namespace of its own for each build, with loopback alone."""

    def __init__(self) -> None:
        self.attached: list[str] = []
        self.detached: list[str] = []

    async def attach(self, task: Task, options: NetworkOptions = ORDINARY) -> Sandbox:
        self.attached.append(task.id)
        found: list[int] = []

        def make() -> None:
            unshare(CLONE_NEWNET)
            found.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return Sandbox(found[0], {"": "172.30.0.9"}, "169.254.1.1")

    async def detach(self, task_id: str) -> None:
        self.detached.append(task_id)


@dataclass
class BuildEnd:
    """What became of a build.

    Attributes:
        published: digest of the manifest. names: of vertices, by id.
    """

    outputs: list[BuildOutput] = field(default_factory=list)
    published: str = ""
    error: ShoalError | None = None
    resolved: list[str] = field(default_factory=list)
    sent_bytes: int = 0

    @property
    def log(self) -> str:
        return b"".join(each.log.data for each in self.outputs if each.HasField("log")).decode()

    @property
    def names(self) -> dict[str, str]:
        plans = [each.plan for each in self.outputs if each.HasField("plan")]
        return {vertex.id: vertex.name for vertex in plans[-1].vertices} if plans else {}

    @property
    def cached(self) -> list[str]:
        """Names of vertices that were found in the cache."""
        done = [each.vertex for each in self.outputs if each.HasField("vertex") and each.vertex.completed_at_ms]
        return [self.names[each.id] for each in done if each.cached and self.names.get(each.id)]


@dataclass
class Rig:
    """A node.

    Attributes:
        names: that the cluster has, with the references that they stand for.
    """

    path: Path
    host: BuildHost
    images: ImageStore
    networks: Namespaces
    repository: str
    base: str
    programs: SparePrograms = field(default_factory=lambda: SparePrograms(keeps=False))
    names: dict[str, str] = field(default_factory=dict)

    async def build(
        self,
        dockerfile: str = "",
        files: Files | None = None,
        *,
        context: bytes | None = None,
        named: Mapping[str, bytes] | None = None,
        secrets: Mapping[str, bytes] | None = None,
        ends: bool = True,
        **start: object,
    ) -> BuildEnd:
        """Build; `$BASE` in the Dockerfile is the base image."""
        text = dockerfile.replace("$BASE", self.base)
        begin = BuildStart(dockerfile_text=text.encode(), **start)  # type: ignore[arg-type]
        sent = [BuildInput(secret=BuildSecret(id=key, value=value)) for key, value in (secrets or {}).items()]
        data = context if context is not None else tar_of(files or {})
        sent += [BuildInput(context=data[at : at + 65536]) for at in range(0, len(data), 65536)]
        sent += [
            BuildInput(named_context=NamedContextPart(name=name, data=value)) for name, value in (named or {}).items()
        ]
        if ends:
            sent.append(BuildInput(end_context=BuildInput.EndContext()))
        return await self.run(begin, sent)

    async def build_directory(self, dockerfile: str, directory: Path, **start: object) -> BuildEnd:
        """As `shoal build` sends a directory; `sent_bytes` of the end are those of its contents."""
        begin = BuildStart(dockerfile_text=dockerfile.replace("$BASE", self.base).encode(), **start)  # type: ignore[arg-type]
        known = KnownDigests(self.path / "known", now_ns=lambda: 1 << 63)
        listed = ListedDirectory("", str(directory), directory, (), known)

        def answers(request: ContextRequest) -> Iterator[BuildInput]:
            if not request.final:
                yield from listed.digests(request.digests)
                return
            yield from listed.contents(request.contents)
            yield BuildInput(end_context=BuildInput.EndContext())

        end = await self.run(begin, list(listed.listing()), answers)
        known.save()
        end.sent_bytes = listed.sent_bytes
        return end

    async def run(self, begin: BuildStart, sent: Sequence[BuildInput], on_request: OnRequest | None = None) -> BuildEnd:
        """As a manager does it.

        Args:
            on_request: answers what the node requests of a list.
        """
        end = BuildEnd()
        async with aclosing(self.stream(begin, sent, end, on_request)) as outputs:
            async for output in outputs:
                end.outputs.append(output)
        return end

    async def stream(
        self, begin: BuildStart, sent: Sequence[BuildInput], end: BuildEnd, on_request: OnRequest | None = None
    ) -> AsyncGenerator[BuildOutput]:
        answers: asyncio.Queue[AgentBuildInput] = asyncio.Queue()
        for each in sent:
            answers.put_nowait(AgentBuildInput(input=each))

        async def messages() -> AsyncGenerator[AgentBuildInput]:
            while True:
                yield await answers.get()

        start = AgentBuildStart(build_id=new_id(), image_repository=self.repository, start=begin)
        build = RunningBuild(self.host, start, messages(), self.programs)
        try:
            async with aclosing(build.run()) as outputs:
                async for output in outputs:
                    if output.HasField("output") and output.output.HasField("context_request"):
                        assert on_request is not None
                        for each in on_request(output.output.context_request):
                            answers.put_nowait(AgentBuildInput(input=each))
                    elif output.HasField("output"):
                        yield output.output
                    elif output.resolve:
                        end.resolved.append(output.resolve)
                        answers.put_nowait(AgentBuildInput(resolved=await self._resolve(output.resolve)))
                    elif output.published:
                        end.published = output.published
        except ShoalError as error:
            end.error = error
        finally:
            await build.end()

    async def _resolve(self, reference: str) -> ResolvedImage:
        from shoal.distribution.resolve import RegistryImageResolver

        if reference in self.names:
            return ResolvedImage(reference=reference, resolved=self.names[reference])
        async with RegistryImageResolver(Registries()) as resolver:
            try:
                found = await resolver.resolve(reference)
            except ShoalError as error:
                return ResolvedImage(reference=reference, error=str(error))
        return ResolvedImage(reference=reference, resolved=found.reference_with_digest)

    def on_other_node(self, images: ImageStore, cache: BuildCache) -> "Rig":
        """The same cluster from a node that has nothing yet."""
        host = replace(self.host, images=images, cache=cache)
        return Rig(self.path, host, images, self.networks, self.repository, self.base)

    async def pull(self, digest: str, images: ImageStore | None = None) -> Image:
        """What was built, as a node runs it."""
        return await (images or self.images).ensure(f"{self.repository}@{digest}", ignore)

    def leftovers(self) -> list[str]:
        """What builds have left on the host."""
        found = [str(each) for each in self.images.temporary.glob("build-*")]
        found += map(str, (self.host.paths.run / "builds").glob("*"))
        for each in parse_layout(read_mountinfo()).directories(self.host.cgroup_parent):
            found += map(str, each.glob("build-*"))
        found += [each for each in read_mountinfo().splitlines() if str(self.path) in each]
        return found


def tar_of(files: Files) -> bytes:
    """A context: contents by path; an empty path ending with a slash is a directory, a TarInfo is as it is."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                tar.addfile(content)
                continue
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.mode, info.size, info.mtime = (0o755 if name.endswith("/") else 0o644), len(data), 1_700_000_000
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def files_of(image: Image) -> dict[str, tuple[str, bytes]]:
    """Kind with mode and owner, and content or target, of the files of an image's layers, by path."""
    found: dict[str, tuple[str, bytes]] = {}
    for layer in reversed(image.layers):
        for path in _walk(layer):
            found[str(path.relative_to(layer))] = _described(path)
    return found


def _walk(directory_: Path) -> Iterator[Path]:
    for each in sorted(directory_.iterdir()):
        yield each
        if each.is_dir() and not each.is_symlink():
            yield from _walk(each)


def _described(path: Path) -> tuple[str, bytes]:
    status = path.lstat()
    owner = f"{status.st_mode & 0o7777:o} {status.st_uid}:{status.st_gid}"
    if path.is_symlink():
        return f"link {status.st_uid}:{status.st_gid}", os.fsencode(path.readlink())
    if path.is_dir():
        return f"directory {owner}", b""
    if path.is_char_device() and status.st_rdev == 0:
        return "whiteout", b""
    return f"file {owner}", path.read_bytes() if path.is_file() else b""


@asynccontextmanager
async def rig(path: Path) -> AsyncGenerator[Rig]:
    """A node with a base image of busybox in a registry, and the cluster's repository on another one."""
    tools: list[Entry] = [directory("bin"), entry("bin/busybox", BUSYBOX, mode=0o755)]
    tools += [symlink(f"bin/{name}", "busybox") for name in APPLETS]
    tools += [directory("etc"), entry("etc/passwd", PASSWD), entry("etc/group", GROUP)]
    tools += [directory("tmp", 0o1777), directory("root", 0o700)]
    write_archive(path / "image.tar", [image_of(layer_of(*tools))], tag="1")
    cgroup, networks = new_cgroup(), Namespaces()
    async with running_registry(path / "source") as source, running_registry(path / "cluster") as cluster:
        base = f"127.0.0.1:{source.port}/team/box:1"
        await push(path / "image.tar", base, Registries(), ignore)
        images = store_in(path / "images", Registries())
        paths = ContainerPaths(run=path / "run", state=path / "state")
        paths.create()
        host = BuildHost(
            images=images,
            cache=BuildCache(path / "cache.json", images),
            networks=networks,
            sandboxes=BuildSandboxes(lambda *_: None, lambda: 0),
            paths=paths,
            cgroup_parent=cgroup,
            registries_file=path / "registries.toml",
            platform=("linux", "amd64", ""),
            resolv_conf=lambda: "nameserver 127.0.0.1\n",
        )
        try:
            yield Rig(path, host, images, networks, f"127.0.0.1:{cluster.port}/shoal/pool", base)
        finally:
            await images.aclose()
            for each in parse_layout(read_mountinfo()).directories(cgroup):
                with suppress(OSError):
                    each.rmdir()


def play(path: Path, scenario: Callable[[Rig], Awaitable[None]], seconds: float = 120) -> None:
    """Run a scenario on a node."""

    async def run() -> None:
        async with asyncio.timeout(seconds), rig(path) as found:
            await scenario(found)
            assert found.leftovers() == []

    asyncio.run(run())
