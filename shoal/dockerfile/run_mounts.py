"""What `RUN --mount` mounts. Dockerfile reference, "RUN --mount"."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BindMount:
    """A file or a directory of a stage, an image or a context.

    Attributes:
        target: as written: relative to the working directory, which is the default.
        from_stage: a stage, an image, or the name of a context; empty: the context.
        writable: what is written is thrown away after the instruction.
    """

    target: str
    source: str = "/"
    from_stage: str = ""
    writable: bool = False


@dataclass(frozen=True, slots=True)
class CacheMount:
    """A directory that outlives the build.

    Attributes:
        cache_id: the same one is the same directory; the target by default.
        sharing: "shared", "private" (each writer has its own) or "locked" (one after another).
        from_stage: what it has at first; empty: nothing.
        mode, uid, gid: of the directory when it is made.
    """

    target: str
    cache_id: str
    sharing: str = "shared"
    source: str = "/"
    from_stage: str = ""
    read_only: bool = False
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class TmpfsMount:
    """A file system in memory.

    Attributes:
        size_bytes: 0: the kernel's default.
    """

    target: str
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SecretMount:
    """A secret of who builds, as a file, a variable or both.

    Attributes:
        target: empty: no file.
        variable: empty: no variable.
        required: the build fails without it.
    """

    secret_id: str
    target: str = ""
    variable: str = ""
    required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class SshMount:
    """A socket of the SSH agent of who builds.

    Attributes:
        target: empty: `/run/buildkit/ssh_agent.N`, with the number of this mount among those of the instruction.
    """

    ssh_id: str = "default"
    target: str = ""
    required: bool = False
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


RunMount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount
