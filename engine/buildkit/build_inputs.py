"""What a build needs of its client: the Dockerfile, contexts, secrets, credentials."""

import hashlib
import posixpath
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from engine.buildkit.session.client_session import ClientSession, ClientSessions
from engine.buildkit.session.context_listing import ListedFiles
from engine.buildkit.session.file_receiver import FileReceiver
from engine.buildkit.session.session_calls import registry_credentials, secret_values, upload
from engine.buildkit.session.ssh_agent import agents_of
from engine.buildkit.translation.frontend_options import FrontendOptions
from engine.server.callers import ApiCaller
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.build_contexts.context_keys import image_context_key
from shoal.distribution.manifests import Platform, host_platform
from shoal.dockerfile.evaluation.build_options import BuildOptions
from shoal.dockerfile.evaluation.file_needs import FileNeeds, needs_of_file
from shoal.dockerfile.ignore_patterns import read_patterns
from shoal.errors import NotFound
from shoal.image_reference import domains_of
from shoal.spec_parsers.builds.build_caches import cache_reference

MAX_DOCKERFILE_BYTES = 1 << 20
MAX_IGNORE_BYTES = 1 << 20
_IGNORE = ".dockerignore"
_DEFAULT = "Dockerfile"


@dataclass(frozen=True)
class LocalDockerfile:
    """Attributes: ignore: of the file beside it that says what is left out of the context; None: there is none."""

    name: str
    text: bytes
    ignore: bytes | None


class ClientInputs:
    """Of one build.

    Args:
        session: id of the client's session.
        archive: gives the main context where it comes by another request.
    """

    def __init__(
        self,
        sessions: ClientSessions,
        caller: ApiCaller,
        session: str,
        options: FrontendOptions,
        archive: Callable[[], AsyncGenerator[bytes]] | None = None,
    ) -> None:
        self._archive = archive
        self._sessions = sessions
        self._caller = caller
        self._session = session
        self._options = options

    async def session(self, directory: str = "") -> ClientSession:
        """The session that has a directory; without one that of the request. Raises NotFound."""
        return await self._sessions.find(self._caller, self._options.sessions.get(directory, self._session))

    async def dockerfile(self) -> LocalDockerfile | None:
        """The Dockerfile; None: it is in the context, which is no directory of the client.

        Raises:
            NotFound: there is none.
        """
        directory = self._options.dockerfile_directory
        if not directory:
            return None
        name = posixpath.normpath(self._options.file_name).lstrip("/")
        base = posixpath.basename(name)
        other = posixpath.join(posixpath.dirname(name), base.lower()) if base == _DEFAULT else name
        ignore = f"{name}{_IGNORE}"
        session = await self.session(directory)
        async with FileReceiver(session, directory, follow=tuple({name, other, ignore})) as files:
            texts = await files.texts(MAX_DOCKERFILE_BYTES)
        text = texts.get(name, texts.get(other))
        if text is None:
            raise NotFound(f"failed to read dockerfile: open {name[:200]}: no such file or directory")
        return LocalDockerfile(name, text, texts.get(ignore))

    async def patterns(self, dockerfile: LocalDockerfile | None) -> tuple[str, ...]:
        """What is left out of the main context.

        Raises:
            InvalidInput: the file that says it is none.
        """
        directory = self._options.context_directory
        text = dockerfile.ignore if dockerfile is not None else None
        if text is None:
            async with FileReceiver(await self.session(directory), directory, follow=(_IGNORE,)) as files:
                text = (await files.texts(MAX_IGNORE_BYTES)).get(_IGNORE, b"")
        return read_patterns(text.decode(errors="surrogateescape"))

    @property
    def has_archive(self) -> bool:
        """Whether the main context comes as an archive."""
        return self._archive is not None or bool(self._options.upload)

    async def archive(self) -> AsyncGenerator[bytes]:
        """The main context as the client reads it."""
        pieces = self._archive() if self._archive else upload(await self.session(), self._options.upload)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    @asynccontextmanager
    async def listed(
        self, directory: str, name: str, exclude: Iterable[str] = (), follow: Sequence[str] = ()
    ) -> AsyncGenerator[ListedFiles]:
        """A directory of the client, which is a context.

        Args:
            directory: its name in the session. name: of a named context, else empty.
            follow: only these paths, and what they are links to.
        """
        session = await self.session(directory)
        place = self._caller, session.shared_key, directory
        known_files = self._sessions.known_files
        async with FileReceiver(session, directory, exclude=tuple(exclude), follow=follow) as files:
            key = _context_key(self._options.start.names, *place)
            listed = ListedFiles(files, name, key, known_files.find(*place))
            yield listed
        known_files.keep(*place, listed.known)

    async def secrets(self, needs: FileNeeds) -> dict[str, bytes]:
        """The secrets that the file names and the client has."""
        return await secret_values(await self.session(), needs.secrets)

    async def add_ssh_agents(self, start: BuildStart, needs: FileNeeds) -> None:
        """The SSH agents that the file names and the client has."""
        if needs.ssh:
            start.ssh_ids.extend(await agents_of(await self.session(), needs.ssh))

    async def add_credentials(self, start: BuildStart, needs: FileNeeds) -> None:
        """Those of the registries that the build has to do with."""
        references = [*needs.images, *start.push, *map(cache_reference, (*start.cache_from, *start.cache_to))]
        found = await registry_credentials(await self.session(), domains_of(references))
        for domain, credentials in found.items():
            start.credentials[domain].CopyFrom(credentials)


def needs_of(dockerfile: LocalDockerfile | None, start: BuildStart) -> FileNeeds:
    """What a Dockerfile needs; nothing is known of one that is elsewhere.

    Raises:
        InvalidInput: every fault of the file. NotFound: there is no such target.
    """
    if dockerfile is None:
        return FileNeeds((), (), (), ())
    here = host_platform()
    options = BuildOptions(
        platform=Platform(*start.platform.split("/")) if start.platform else here,
        build_platform=here,
        target=start.target,
        arguments=dict(start.build_args),
        labels=dict(start.labels),
        contexts=dict(start.contexts),
    )
    return needs_of_file(dockerfile.text, dockerfile.name, options)


def _context_key(names: Sequence[str], caller: ApiCaller, shared_key: str, directory: str) -> str:
    """Which contexts nodes compare: those of the same image, else of the same directory of the same client."""
    if names:
        return image_context_key(names[0])
    return hashlib.sha256(f"{caller}\0{shared_key}\0{directory}".encode()).hexdigest() if shared_key else ""
