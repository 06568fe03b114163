"""Facts about this host that OCI specs depend on; read once, when the runtime is opened."""

import os
import re
import resource
import shutil
from pathlib import Path

from agent.runtime.confinement.seccomp import load_profile
from agent.runtime.kernel.cgroup_layout import CgroupLayout
from agent.runtime.kernel.linux import has_mount_setattr
from agent.runtime.spec.capability_sets import capabilities_of
from agent.runtime.spec.oci_spec import HostFacts


def read_host_facts(layout: CgroupLayout, *, has_apparmor: bool) -> HostFacts:
    """Read the facts."""
    memory = layout.controllers.get("memory")
    status = Path("/proc/self/status").read_text()
    bounding = re.search(r"^CapBnd:\s+([0-9a-f]+)$", status, re.MULTILINE)
    assert bounding is not None, "proc(5): every process has this line"
    return HostFacts(
        machine=os.uname().machine,
        kernel=os.uname().release,
        agent_pid=os.getpid(),
        swap_accounting=memory is None or (memory / "memory.memsw.limit_in_bytes").exists(),
        max_open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        capabilities=capabilities_of(int(bounding[1], 16)),
        profile=load_profile(),
        cgroup_version=layout.version,
        has_apparmor=has_apparmor,
        init=_init(),
        recursive_read_only=has_mount_setattr(),
    )


def _init() -> Path | None:
    """A statically linked tini, since the image may have no shared libraries: Debian's package, or Docker's."""
    found = shutil.which("tini-static") or shutil.which("docker-init")
    return Path(found) if found is not None else None
