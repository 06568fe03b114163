"""AppArmor on this host: whether it is supported, a container's profile, and loading it (apparmor(7))."""

import logging
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from agent.runtime.confinement.apparmor_profile import DEFAULT_PROFILE, profile_text
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.errors import Fault, InvalidInput, Unavailable

UNCONFINED = "unconfined"

_SYSFS, _POLICY = Path("/sys"), Path("/etc/apparmor.d")
_OWN_LABEL = Path("/proc/self/attr/current")
_POLICY_FILES = ("abi/3.0", "tunables/global", "abstractions/base")
_LOAD_SECONDS = 60.0
_log = logging.getLogger(__name__)


def unsupported_reason(*, enabled: str, is_mounted: bool, has_parser: bool) -> str:
    """Why containers cannot have AppArmor profiles, one line for the user; empty if they can. Pure.

    Args:
        enabled: content of the kernel module's parameter, "Y\\n"; empty if there is none.
        is_mounted: its policy is mounted below /sys/kernel/security.
        has_parser: apparmor_parser(8) is installed.
    """
    if not enabled.startswith("Y"):
        return "the kernel does not support AppArmor, or it is disabled"
    if not is_mounted:
        return "securityfs is not mounted: mount -t securityfs securityfs /sys/kernel/security"
    return "" if has_parser else "apparmor_parser not found; apt-get install apparmor"


def profile_for(spec: ContainerSpec, *, is_supported: bool) -> str:
    """`process.apparmorProfile` of a container; empty: without AppArmor. Pure.

    Raises:
        InvalidInput: a profile is requested by name, but AppArmor is not supported.
    """
    desired = spec.apparmor or (UNCONFINED if spec.privileged else DEFAULT_PROFILE)
    if is_supported:
        return desired
    if spec.apparmor in ("", UNCONFINED):
        return ""
    what = "AppArmor is not available on the node (see `shoal node inspect`); use another node, or apparmor=unconfined"
    raise InvalidInput([Fault("spec.apparmor", f'the profile "{spec.apparmor}" cannot be applied: {what}')])


def label_of(context: str) -> str:
    """The name in the kernel's form "name (mode)"; "unconfined" if the context is empty. Pure."""
    text = context.strip("\0\n")
    if text.endswith(")") and (place := text.rfind(" (")) >= 0:
        text = text[:place]
    return text or UNCONFINED


class AppArmor:
    """Profiles of containers.

    Args:
        sysfs: mount point of sysfs. policy: directory of the distribution's policy.
        parser: apparmor_parser(8); None: the one in the search path.
    Attributes:
        unsupported_reason: as the function of this name returns it.
    """

    def __init__(self, *, sysfs: Path = _SYSFS, policy: Path = _POLICY, parser: Path | None = None) -> None:
        self._profiles = sysfs / "kernel/security/apparmor/profiles"
        self._policy = policy
        found = shutil.which("apparmor_parser", path="/sbin:/usr/sbin:/usr/bin") if parser is None else str(parser)
        self._parser = found or ""
        self._loading = Lock()
        self.unsupported_reason = unsupported_reason(
            enabled=_text(sysfs / "module/apparmor/parameters/enabled"),
            is_mounted=os.access(self._profiles, os.R_OK),
            has_parser=bool(found),
        )

    @property
    def is_supported(self) -> bool:
        """Whether containers can have profiles."""
        return not self.unsupported_reason

    def load_default(self) -> None:
        """Load this version's default profile. A failure is logged: container starts will report it."""
        if not self.is_supported:
            _log.info("running containers without AppArmor: %s", self.unsupported_reason)
            return
        try:
            self._load()
        except Unavailable as error:
            _log.error("%s", error)

    def require(self, profile: str) -> None:
        """Check that a profile is loaded. The default one is loaded again if it was removed.

        Raises:
            InvalidInput: it is not loaded. Unavailable: the default one cannot be loaded.
        """
        if profile in ("", UNCONFINED) or self._is_loaded(profile):
            return
        if profile != DEFAULT_PROFILE:
            what = "is not loaded on the node; load it with `apparmor_parser -r`, or use another node"
            raise InvalidInput([Fault("spec.apparmor", f'the profile "{profile}" {what}')])
        with self._loading:
            if not self._is_loaded(profile):
                self._load()

    def _is_loaded(self, profile: str) -> bool:
        try:
            with self._profiles.open(errors="replace") as lines:
                return _names(lines, profile)
        except OSError as error:
            raise Unavailable(f"cannot read the kernel's AppArmor profiles: {error.strerror}") from error

    def _load(self) -> None:
        """Replace the profile, without a cache: the host's cache may be read-only."""
        has = [name for name in _POLICY_FILES if (self._policy / name).exists()]
        text = profile_text(agent=label_of(_text(_OWN_LABEL)), has=has)
        command = [self._parser, "--skip-cache", "--replace"]
        try:
            done = subprocess.run(
                command,
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_LOAD_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"could not load AppArmor profile {DEFAULT_PROFILE}: {error}") from error
        if done.returncode:
            message = " ".join((done.stderr or done.stdout).split())[-400:]
            raise Unavailable(f"could not load AppArmor profile {DEFAULT_PROFILE}: {message or done.returncode}")


def _names(lines: Iterable[str], profile: str) -> bool:
    return any(label_of(line) == profile for line in lines)


def _text(path: Path) -> str:
    """Content of a small file; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
