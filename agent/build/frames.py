"""Messages between the agent and a build program: a kind, a length, a body. Shared by both sides."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shoal import errors
from shoal.errors import Fault, InvalidInput, ShoalError, Unavailable

SETTINGS, INPUT, ANSWER = b"S", b"I", b"A"
"""To the program: JSON of `ProgramSettings`; a BuildInput; JSON, the answer to a question."""
OUTPUT, QUESTION, LAYER, BLOBS, PUBLISHED, FAILED, DONE = b"O", b"Q", b"L", b"B", b"P", b"F", b"D"
"""To the agent: a BuildOutput; JSON with the number and name of a call; JSON of a `NewLayer`; JSON, by diff ID the
blob of a layer that is in the repository's cache; a digest; JSON; none."""
MADE, UPLOADED = b"M", b"U"
"""To the agent: none, all layers are made; as BLOBS, of layers that are in the repository, but not in its cache yet."""

MAX_FRAME_BYTES = 16 << 20
_HEAD = 5


@dataclass(frozen=True)
class ProgramSettings:
    """What a build program is told of its host. Paths are absolute.

    Attributes:
        build_id: also the beginning of its containers' names.
        work: its own directory, on the disk of the image store.
        base: lowest layer of every root file system, with mount points.
        filters: compiled seccomp filters. filter_environment: what they are compiled for.
        oci_program: path of crun or runc.
        cgroup_parent: absolute name.
        hidden_mount: removed from the program's mount namespace; empty: none.
        cache_mounts: of all builds. contexts: those of earlier builds that are kept.
        run: on a tmpfs: bundles and the state of the OCI runtime.
        registries_file: credentials and certificates.
        image_repository: of the cluster; empty: there is none.
        platform: of the host: system, architecture, variant.
        cpus: vertices that are executed at once.
        resolv_conf: the host's. has_apparmor: commands have the default profile of containers.
        node_address: for `host-gateway`.
    """

    build_id: str
    work: str
    base: str
    filters: str
    filter_environment: str
    oci_program: str
    cgroup_parent: str
    hidden_mount: str
    cache_mounts: str
    contexts: str
    run: str
    registries_file: str
    image_repository: str
    platform: tuple[str, str, str]
    cpus: int
    resolv_conf: str
    has_apparmor: bool = False
    reserve_bytes: int = 256 << 20
    node_address: str = ""

    def encode(self) -> bytes:
        """As a body."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, body: bytes) -> "ProgramSettings":
        """From a body."""
        fields = json.loads(body)
        system, architecture, variant = fields.pop("platform")
        return cls(platform=(system, architecture, variant), **fields)


@dataclass(frozen=True)
class NewLayer:
    """A layer that a build has made, for the agent to keep.

    Attributes:
        directory: an overlay's upper directory, below `ProgramSettings.work`; empty: the layer is in the image store.
        key: of the cache; empty: it is not to be found again.
        description: the instruction it is of.
        size: of its uncompressed tar, bytes.
    """

    directory: str
    diff_id: str
    key: str
    description: str
    size: int
    created_at_ms: int

    def encode(self) -> bytes:
        """As a body."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, body: bytes) -> "NewLayer":
        """From a body."""
        return cls(**json.loads(body))


def frame(kind: bytes, body: bytes = b"") -> bytes:
    """One message."""
    return kind + len(body).to_bytes(_HEAD - 1, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes] | None:
    """The next message; None at the end.

    Raises:
        Unavailable: the other side sent nonsense, or ended in the middle.
    """
    try:
        head = await reader.readexactly(_HEAD)
        size = int.from_bytes(head[1:], "big")
        if size > MAX_FRAME_BYTES:
            raise Unavailable(f"a message of the build program has {size:,} bytes")
        return head[:1], await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise Unavailable("the build program ended in the middle of a message") from error
    except ConnectionError:
        return None


def encode_error(error: ShoalError) -> Mapping[str, Any]:
    """A document that `decode_error` understands."""
    faults: Sequence[Fault] = error.faults if isinstance(error, InvalidInput) else ()
    kind = next(each.__name__ for each in type(error).__mro__ if each in _KINDS.values())
    return {"kind": kind, "text": str(error), "faults": [list(each) for each in faults]}


def decode_error(document: Mapping[str, Any]) -> ShoalError:
    """The error of the other side."""
    if document["faults"]:
        return InvalidInput([Fault(path, message) for path, message in document["faults"]])
    return _KINDS.get(document["kind"], Unavailable)(document["text"])


_KINDS: Mapping[str, type[ShoalError]] = {
    each.__name__: each
    for each in (
        errors.ShoalError,
        errors.InvalidInput,
        errors.NotFound,
        errors.Refused,
        errors.Unauthenticated,
        errors.PermissionDenied,
        errors.Exhausted,
        errors.Unavailable,
        errors.Timeout,
        errors.Conflict,
        errors.AlreadyExists,
    )
}
