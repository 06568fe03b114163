"""One build: the context goes to the node, progress and result come from it."""

import os
import queue
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.builds.build_source import PIECE_BYTES, BuildSource
from cli.builds.context_key import context_key
from cli.builds.context_listing import ListedDirectory
from cli.builds.known_digests import known_digests
from cli.builds.local_caches import CacheWriter
from cli.builds.output_feed import CONTEXT_NAME, OutputFeed
from cli.builds.ssh_agents import answer
from cli.client import Client
from cli.render.build_progress.display import BuildDisplay
from shoal.api.v1.builds_pb2 import BuildInput, BuildOutput, BuildSecret, BuildStart, ContextRequest, SshReply
from shoal.errors import ShoalError, Unavailable

TRANSFER = "transfer of the context"
"""Identifier of the vertex that this side adds; those of the node are digests."""


@dataclass(frozen=True)
class LocalBuild:
    """A build with what is sent for it.

    Attributes:
        start: without the Dockerfile's text.
        secrets: values by id.
        directories: named contexts of this machine.
        ssh_agents: sockets by id.
        cache_directory: where an exported cache goes.
    """

    start: BuildStart
    source: BuildSource
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    directories: Mapping[str, Path] = field(default_factory=dict)
    ssh_agents: Mapping[str, str] = field(default_factory=dict)
    cache_directory: Path | None = None


BUILD_LOST = "the build is ended: run the command again; steps that were done are in the node's cache"
"""What it means when the connection to the manager is lost."""


def run_build(
    client: Client, build: LocalBuild, display: BuildDisplay, save: Callable[[Iterator[bytes]], object] | None = None
) -> OutputFeed:
    """Build, and draw progress. Ctrl-C ends the build on its node too.

    Args:
        save: takes the files of the result, an archive in pieces.
    Returns:
        What came of it, with its result.
    Raises:
        BuildFailed: the node's error, whatever it is. OSError: the context cannot be read. Others as `save` does.
    """
    from shoal.api.v1.builds_pb2_grpc import BuildsStub

    feed, inputs = OutputFeed(display), SentInputs(build, display)
    cache = CacheWriter(build.cache_directory) if build.cache_directory is not None else None
    stub = BuildsStub(client.channel)
    outputs = client.stream(stub.Build, inputs.messages(), seconds=None, if_lost=BUILD_LOST)
    pieces = _pieces(outputs, feed, inputs, cache)
    try:
        if save is not None:
            save(pieces)
        for _ in pieces:
            pass
        if cache is not None:
            cache.finish()
    finally:
        pieces.close()
        if cache is not None:
            cache.close()
    return feed


def _pieces(
    outputs: Generator[BuildOutput], feed: OutputFeed, inputs: "SentInputs", cache: CacheWriter | None
) -> Generator[bytes]:
    """The files of the result; all else goes to the feed."""
    try:
        for output in outputs:
            if output.HasField("file_data"):
                yield output.file_data
            elif output.HasField("cache_data"):
                if cache is not None:
                    cache.write(output.cache_data)
            elif output.HasField("context_request"):
                inputs.events.put(output.context_request)
            elif output.HasField("ssh_request"):
                inputs.events.put(answer(inputs.ssh_agents, output.ssh_request))
            else:
                feed.receive(output)
    except ShoalError as error:
        if inputs.failure is not None:
            raise inputs.failure from None
        raise BuildFailed(error, feed) from error
    finally:
        inputs.events.put(None)
        outputs.close()


class BuildFailed(Exception):
    """A build that has ended without a result.

    Attributes:
        error: why.
        feed: what was heard of it before.
    """

    def __init__(self, error: ShoalError, feed: OutputFeed) -> None:
        super().__init__(str(error))
        self.error = error
        self.feed = feed


class SentInputs:
    """The messages of one build.

    Attributes:
        failure: why the context could not be read; gRPC ends the call then, and says nothing of it.
        events: what the node requests of contexts, and replies of SSH agents; None: the call has ended.
    """

    def __init__(self, build: LocalBuild, display: BuildDisplay) -> None:
        self._build = build
        self._display = display
        self._sent = 0
        self.events: queue.SimpleQueue[ContextRequest | SshReply | None] = queue.SimpleQueue()
        self.ssh_agents = build.ssh_agents
        self.failure: Exception | None = None

    def messages(self) -> Iterator[BuildInput]:
        """All of them; `end_context` is the last."""
        try:
            yield from self._messages()
        except Exception as error:
            self.failure = error
            raise

    def _messages(self) -> Iterator[BuildInput]:
        start = BuildStart()
        start.CopyFrom(self._build.start)
        source = self._build.source
        start.dockerfile, start.dockerfile_text, start.remote_context = (
            source.dockerfile,
            source.text or b"",
            source.remote,
        )
        yield BuildInput(start=start)
        for identifier, value in self._build.secrets.items():
            yield BuildInput(secret=BuildSecret(id=identifier, value=value))
        if not (start.check_only and source.text is not None):  # a check needs the Dockerfile alone
            yield from self._contexts()
        yield BuildInput(end_context=BuildInput.EndContext())
        while self.ssh_agents and isinstance(event := self.events.get(), SshReply):
            yield BuildInput(ssh_reply=event)

    def _contexts(self) -> Iterator[BuildInput]:
        source = self._build.source
        if source.directory is not None:
            yield from self._listed("", source.directory, source.patterns)
        elif source.stream is not None:
            for data in self._counted("transferring context:", source.stream):
                yield BuildInput(context=data)
        for name, directory in self._build.directories.items():
            yield from self._listed(name, directory, ())
        if self._sent:
            self._display.complete(TRANSFER)

    def _listed(self, name: str, directory: Path, patterns: tuple[str, ...]) -> Iterator[BuildInput]:
        """A directory: its list, then what the node asks for."""
        what = f"transferring {name or 'context'}:"
        self._display.announce(TRANSFER, CONTEXT_NAME)
        key = context_key(self._build.start.names, directory)
        known = known_digests(os.environ, f"{name}\0{directory.resolve()}")
        listed = ListedDirectory(name, key, directory, patterns, known)
        yield from listed.listing()
        request = yield from self._next_request()
        if not request.final:
            yield from listed.digests(request.digests)
            request = yield from self._next_request()
        for message in listed.contents(request.contents):
            yield message
            self._display.status(TRANSFER, what, listed.sent_bytes)
        known.save()
        self._sent += listed.sent_bytes
        self._display.status(TRANSFER, what, listed.sent_bytes, done=True)
        self._display.complete(TRANSFER)

    def _next_request(self) -> Generator[BuildInput, None, ContextRequest]:
        """What is requested next; replies that come before it are sent."""
        while isinstance(event := self.events.get(), SshReply):
            yield BuildInput(ssh_reply=event)
        if event is None:
            raise Unavailable("the build has ended")
        return event

    def _counted(self, what: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces, cut to messages, with progress as they pass."""
        self._display.announce(TRANSFER, CONTEXT_NAME)
        sent = 0
        for piece in pieces:
            for at in range(0, len(piece), PIECE_BYTES):
                yield piece[at : at + PIECE_BYTES]
            sent += len(piece)
            self._display.status(TRANSFER, what, sent)
        self._sent += sent
        self._display.status(TRANSFER, what, sent, done=True)
