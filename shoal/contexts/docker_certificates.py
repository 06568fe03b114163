"""A context's certificate as files that Docker's clients read: `ca.pem`, `cert.pem`, `key.pem` (DOCKER_CERT_PATH)."""

import shlex
from dataclasses import replace
from pathlib import Path

from shoal.contexts.context_file import Context
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Unavailable
from shoal.identity.identity import Identity
from shoal.identity.roles import Role


def write_docker_certificates(chosen: Context, directory: Path, *, engine_ca: Path | None = None) -> None:
    """Write the three files into a new directory, for its owner alone. They are not renewed: export them again.

    Args:
        engine_ca: PEM file of the authority that has signed the engine's TLS certificate; None: the cluster's.
    Raises:
        AlreadyExists: the directory exists.
        InvalidInput: the context is no user's, so that engines refuse it over TCP.
        NotFound, Unavailable: a file cannot be read or written.
    """
    from shoal.identity.certificates import subject_of

    if directory.exists():
        raise AlreadyExists(f"{directory} already exists; choose another directory")
    identity = Identity.load(chosen.directory)
    role = subject_of(identity.certificate).role
    if role is not Role.ADMIN:
        raise InvalidInput(
            f"the context {chosen.name!r} has the role {role}; over TCP engines take that of users, {Role.ADMIN}"
        )
    if engine_ca is not None:
        identity = replace(identity, ca=_read(engine_ca))
    identity.save(directory)


def docker_context_command(name: str, directory: Path, address: str) -> str:
    """The line by which Docker's command line makes a context of the files.

    Args:
        address: HOST:PORT of the engine.
    """
    files = ",".join(f"{key}={directory.absolute() / key}.pem" for key in ("ca", "cert", "key"))
    return shlex.join(["docker", "context", "create", name, "--docker", f"host=tcp://{address},{files}"])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
