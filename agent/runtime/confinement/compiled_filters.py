"""Cache of compiled seccomp filters: crun takes 25 ms to compile a profile at each start, and under 1 ms to load a
filter.

The first container with a profile is created from the profile itself; crun leaves the compiled filter in its state
directory until the container starts, and it is saved from there. Later containers get it by crun's annotation
`run.oci.seccomp_bpf_data` (crun(1)). The placeholder profile beside the annotation allows nothing, so that a crun
which does not know the annotation fails loudly instead of running without a filter.
"""

import base64
import hashlib
import json
import logging
import os
import subprocess
from pathlib import Path
from typing import Any, Protocol

from agent.runtime.kernel.processes import status
from shoal.errors import Unavailable

_log = logging.getLogger(__name__)
_ANNOTATION = "run.oci.seccomp_bpf_data"
_MAX_KEYS = 100


def compiled_for(program: Path) -> str:
    """The environment that a filter is compiled for: versions of the kernel and of the OCI runtime (which is
    executed)."""
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)
    return f"{os.uname().release} {' '.join(done.stdout.split())}"


class FilterCache(Protocol):
    """Knows compiled filters of containers' seccomp profiles."""

    def apply(self, spec: dict[str, Any], profile: str) -> str | None:
        """As `CompiledFilters.apply`."""
        ...

    def save(self, key: str, compiled: Path) -> None:
        """As `CompiledFilters.save`."""
        ...


class NoFilterCache:
    """Leaves profiles in the spec: the OCI runtime compiles them at each start."""

    def apply(self, spec: dict[str, Any], profile: str) -> str | None:
        """Nothing to apply, and nothing to save."""
        del spec, profile
        return None

    def save(self, key: str, compiled: Path) -> None:
        """Nothing is saved."""


class CompiledFilters:
    """Compiled filters by profile, stored on disk.

    Args:
        directory: one file per filter.
        environment: versions of the kernel and the OCI runtime; filters of other versions are not used.
    """

    def __init__(self, *, directory: Path, environment: str) -> None:
        self._directory = directory
        self._environment = environment
        self._loaded: dict[str, str] = {}
        self._keys: dict[tuple[str, ...], str] = {}

    def apply(self, spec: dict[str, Any], profile: str) -> str | None:
        """Put the compiled filter into `spec` if there is one; otherwise return the key to `save` it.

        Args:
            profile: the container's own, empty for the default; with the capabilities it determines the filter.
        """
        section = spec["linux"].get("seccomp")
        if section is None:
            return None
        inputs = (profile, *spec["process"]["capabilities"]["bounding"])
        if (key := self._keys.get(inputs)) is None:
            text = json.dumps(section, sort_keys=True) + self._environment
            if len(self._keys) >= _MAX_KEYS:
                self._keys.clear()
            key = self._keys[inputs] = hashlib.sha256(text.encode()).hexdigest()
        encoded = self._loaded.get(key) or self._load(key)
        if encoded is None:
            return key
        spec["annotations"] = spec.get("annotations", {}) | {_ANNOTATION: encoded}
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO"}
        return None

    def save(self, key: str, compiled: Path) -> None:
        """Save the filter that the OCI runtime compiled. Without it the next start is only slower."""
        try:
            content = compiled.read_bytes()
        except FileNotFoundError:
            _log.warning("crun left no compiled seccomp filter at %s; it is compiled at each start", compiled)
            return
        draft = self._directory / f"{key}.{compiled.parent.name}"
        try:
            draft.write_bytes(content)
            draft.rename(self._directory / key)
        except OSError as error:
            draft.unlink(missing_ok=True)
            _log.warning("could not save a compiled seccomp filter; it is compiled at each start: %s", error)

    def _load(self, key: str) -> str | None:
        try:
            content = (self._directory / key).read_bytes()
        except FileNotFoundError:
            return None
        # struct sock_filter is 8 bytes (linux/filter.h): anything else is not a filter.
        if not content or len(content) % 8:
            return None
        self._loaded[key] = base64.b64encode(content).decode()
        return self._loaded[key]


def verify_filtered(pid: int) -> None:
    """Check that the kernel filters this process's system calls (proc(5), status, `Seccomp: 2`).

    Raises:
        Unavailable: no filter is active.
    """
    if status(pid).get("Seccomp") != "2":
        raise Unavailable("the OCI runtime did not apply the seccomp filter; the container was not started")
