"""Compiled seccomp filters: crun compiles a profile at each start, 25 ms; a compiled one costs it less than one.

The first container with a profile is created from the profile itself; crun leaves the compiled filter in its state
directory until the container starts, and it is taken from there. Later containers get it by crun's annotation
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
from typing import Any

from agent.runtime.kernel.processes import status
from shoal.errors import Unavailable

_log = logging.getLogger(__name__)
_ANNOTATION = "run.oci.seccomp_bpf_data"
_MAX_KEYS = 100


def compiled_for(program: Path) -> str:
    """What a filter is compiled for: versions of the kernel and of the OCI runtime, which is run."""
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)
    return f"{os.uname().release} {' '.join(done.stdout.split())}"


class CompiledFilters:
    """Compiled filters by profile, kept on disk.

    Args:
        directory: one file a filter.
        environment: versions of the kernel and the runtime; another one means another compilation.
    """

    def __init__(self, *, directory: Path, environment: str) -> None:
        self._directory = directory
        self._environment = environment
        self._loaded: dict[str, str] = {}
        self._keys: dict[tuple[str, ...], str] = {}

    def apply(self, spec: dict[str, Any], profile: str) -> str | None:
        """Put the compiled filter into `spec` when there is one; else return the key to `save` it under.

        Args:
            profile: the container's own, empty for the node's; with the capabilities it makes the section.
        """
        section = spec["linux"].get("seccomp")
        if section is None:
            return None
        cause = (profile, *spec["process"]["capabilities"]["bounding"])
        if (key := self._keys.get(cause)) is None:
            text = json.dumps(section, sort_keys=True) + self._environment
            if len(self._keys) >= _MAX_KEYS:
                self._keys.clear()
            key = self._keys[cause] = hashlib.sha256(text.encode()).hexdigest()
        encoded = self._loaded.get(key) or self._load(key)
        if encoded is None:
            return key
        spec["annotations"] = spec.get("annotations", {}) | {_ANNOTATION: encoded}
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO"}
        return None

    def save(self, key: str, compiled: Path) -> None:
        """Keep what the runtime compiled, if it shows it. The next start is merely slower where it does not."""
        try:
            content = compiled.read_bytes()
        except FileNotFoundError:
            _log.warning("crun left no compiled seccomp filter at %s; it is compiled at each start", compiled)
            return
        half = self._directory / f"{key}.{compiled.parent.name}"
        try:
            half.write_bytes(content)
            half.rename(self._directory / key)
        except OSError as error:
            half.unlink(missing_ok=True)
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
    """See that the kernel filters this process's system calls (proc(5), status, `Seccomp: 2`).

    Raises:
        Unavailable: it does not.
    """
    if status(pid).get("Seccomp") != "2":
        raise Unavailable("the OCI runtime did not apply the seccomp filter; the container was not started")
