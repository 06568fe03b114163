"""Typed instructions of a Dockerfile. Variables in them are not replaced yet. Dockerfile reference."""

from dataclasses import dataclass, field

from shoal.dockerfile.heredocs import Heredoc
from shoal.dockerfile.source import Location


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an instruction stands, and how it is written, its continuations joined."""

    location: Location
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """What is run.

    Attributes:
        words: in shell form one text, which the shell gets.
        is_shell: shell form; otherwise exec form (a JSON array).
    """

    words: tuple[str, ...]
    is_shell: bool


@dataclass(frozen=True, slots=True)
class Variable:
    """`name=value`; `value` is None where only a name was given."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class From:
    origin: Origin
    image: str
    alias: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Arg:
    origin: Origin
    variables: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class Env:
    origin: Origin
    variables: tuple[Variable, ...]
    is_old_form: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    origin: Origin
    variables: tuple[Variable, ...]
    is_old_form: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Attributes:
    mounts: options of each `--mount`, as they are written.
    network: "default", "none" or "host".
    security: "sandbox" or "insecure".
    """

    origin: Origin
    command: Command
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"


@dataclass(frozen=True, slots=True)
class CopyFlags:
    """Flags of COPY and ADD.

    Attributes:
        unpack: None: as the source is; ADD unpacks local archives.
    """

    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """Attributes:
    heredocs: sources that stand in the Dockerfile.
    from_stage: a stage, an image, or the name of an additional context; empty: the context.
    """

    origin: Origin
    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    from_stage: str = ""
    flags: CopyFlags = field(default_factory=CopyFlags)


@dataclass(frozen=True, slots=True)
class Add:
    """Attributes:
    sources: paths in the context, URLs, git repositories.
    """

    origin: Origin
    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    flags: CopyFlags = field(default_factory=CopyFlags)


@dataclass(frozen=True, slots=True)
class Cmd:
    origin: Origin
    command: Command


@dataclass(frozen=True, slots=True)
class Entrypoint:
    origin: Origin
    command: Command


@dataclass(frozen=True, slots=True)
class Shell:
    origin: Origin
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workdir:
    origin: Origin
    path: str


@dataclass(frozen=True, slots=True)
class User:
    origin: Origin
    user: str


@dataclass(frozen=True, slots=True)
class Expose:
    origin: Origin
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Volume:
    origin: Origin
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopSignal:
    origin: Origin
    signal: str


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """Attributes:
    command: None: NONE, no check at all.
    interval_ms, timeout_ms, start_period_ms, start_interval_ms, retries: 0: Docker's default.
    """

    origin: Origin
    command: Command | None
    interval_ms: int = 0
    timeout_ms: int = 0
    start_period_ms: int = 0
    start_interval_ms: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class OnBuild:
    """Attributes:
    instruction: what runs first in a build that is based on this image.
    """

    origin: Origin
    instruction: str


@dataclass(frozen=True, slots=True)
class Maintainer:
    origin: Origin
    name: str


Instruction = (
    From
    | Arg
    | Env
    | Label
    | Run
    | Copy
    | Add
    | Cmd
    | Entrypoint
    | Shell
    | Workdir
    | User
    | Expose
    | Volume
    | StopSignal
    | Healthcheck
    | OnBuild
    | Maintainer
)
