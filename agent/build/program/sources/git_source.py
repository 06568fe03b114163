"""Git repositories of ADD, by the host's git. Blocking. Dockerfile reference, "ADD <git ref>"; git(1).

Nothing of a repository is run: no hooks, no filters, no submodules of local paths; only transports to other hosts.
"""

import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import InvalidInput, NotFound, Unavailable

TIMEOUT_SECONDS = 600.0
_OPTIONS = (
    "core.hooksPath=/dev/null",
    "protocol.allow=never",
    "protocol.http.allow=always",
    "protocol.https.allow=always",
    "protocol.git.allow=always",
    "protocol.ssh.allow=always",
    "core.fsmonitor=false",
    "core.symlinks=true",
    "advice.detachedHead=false",
    "init.defaultBranch=master",
)
_MAX_TEXT = 400


@dataclass(frozen=True)
class GitAddress:
    """A repository, and what of it.

    Attributes:
        reference: branch, tag or commit; empty: the default branch.
        directory: in the repository; empty: all of it.
    """

    repository: str
    reference: str
    directory: str


@dataclass(frozen=True)
class Checkout:
    """Attributes: directory: relative. commit: which one it is."""

    directory: str
    commit: str


def parse_address(text: str) -> GitAddress:
    """`https://host/path.git#reference:directory`, `git@host:path.git`, `ssh://…`.

    Raises:
        InvalidInput: it could be taken for an option of git.
    """
    repository, _, fragment = text.partition("#")
    reference, _, directory = fragment.partition(":")
    if repository.startswith("-") or reference.startswith("-"):
        raise InvalidInput(f"{text[:200]!r} is no git address")
    if ".." in directory.split("/"):
        raise InvalidInput(f"{directory[:80]!r} leads out of the repository")
    return GitAddress(repository, reference, directory.strip("/"))


def checkout(address: GitAddress, checksum: str, *, keep_git: bool, into: Path, stop: threading.Event) -> Checkout:
    """Fetch one commit into an empty directory.

    Args:
        checksum: beginning of the commit's id; empty: any.
    Raises:
        NotFound: there is no such repository, reference or directory. InvalidInput: it is another commit.
        Unavailable: the host has no git, or the other one fails.
    """
    if shutil.which("git") is None:
        raise Unavailable("this node has no git; install it (apt-get install git)")
    git = _Git(into, stop)
    git.run("init", "--quiet", ".")
    git.run("remote", "add", "origin", address.repository)
    reference = address.reference or "HEAD"
    git.run("fetch", "--quiet", "--depth=1", "--no-tags", "origin", reference)
    git.run("checkout", "--quiet", "--force", "FETCH_HEAD")
    commit = git.run("rev-parse", "HEAD").strip()
    if checksum and not commit.startswith(checksum):
        raise InvalidInput(f"expected checksum to match {checksum}, got {commit}")
    if not keep_git:
        shutil.rmtree(into / ".git")
    return Checkout(address.directory, commit)


class _Git:
    def __init__(self, directory: Path, stop: threading.Event) -> None:
        self._directory = directory
        self._stop = stop

    def run(self, *arguments: str) -> str:
        if self._stop.is_set():
            raise Unavailable("the build was stopped")
        options = [word for option in _OPTIONS for word in ("-c", option)]
        try:
            done = subprocess.run(
                ["git", *options, *arguments],
                cwd=self._directory,
                env=_environment(self._directory),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"git {arguments[0]} took longer than {TIMEOUT_SECONDS:.0f} s") from error
        if done.returncode:
            text = " ".join(done.stderr.split())[-_MAX_TEXT:]
            kind = NotFound if "not found" in text or "couldn't find remote ref" in text else Unavailable
            raise kind(f"git {arguments[0]}: {text}")
        return done.stdout


def _environment(directory: Path) -> dict[str, str]:
    """Neither the host's settings nor questions at a terminal."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(directory),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "http:https:git:ssh",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new",
        "GIT_LFS_SKIP_SMUDGE": "1",
    }
