"""The default AppArmor profile of containers (apparmor.d(5)), equivalent to Docker's. Pure.

It denies the next steps of a compromised container: mounting, writing to kernel settings of the whole host, signalling
and tracing processes outside, and sockets that reach past its namespaces.
"""

from collections.abc import Collection

DEFAULT_PROFILE = "shoal-default"

_RULES = """\
  network,
  # The kernel's cryptography and the hypervisor. The system call filter cannot refuse them to 32-bit programs.
  deny network alg,
  deny network vsock,
  capability,
  file,
  umount,

  # What stops containers: programs of the host, OCI runtimes that have profiles of their own, the agent.
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (receive) peer="{agent}",
  signal (send, receive) peer="{name}",
  ptrace (trace, tracedby, read, readby) peer="{name}",

  deny mount,

  # In /proc, files of processes may be written, and shared memory settings below /proc/sys/kernel.
  deny @{{PROC}}/* w,
  deny @{{PROC}}/{{[^1-9/],[^1-9/][^0-9/],[^1-9s/][^0-9y/][^0-9s/],[^1-9/][^0-9/][^0-9/][^0-9/]*}}/** w,
  deny @{{PROC}}/sys/[^k]** w,
  deny @{{PROC}}/sys/kernel/{{?,??,[^s][^h][^m]**}} w,
  deny @{{PROC}}/sysrq-trigger rwklx,
  deny @{{PROC}}/kcore rwklx,

  # In /sys, only control groups.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
"""


def profile_text(*, agent: str, has: Collection[str], name: str = DEFAULT_PROFILE) -> str:
    """The profile in the policy language.

    Args:
        agent: the agent's own profile, "unconfined" without one: it may signal containers.
        has: files that the host has below /etc/apparmor.d. The policy language's version is pinned if possible:
            from 4.0 on, `network` does not include Unix sockets.
    """
    lines = ["abi <abi/3.0>,"] if "abi/3.0" in has else []
    lines.append("include <tunables/global>" if "tunables/global" in has else "@{PROC}=/proc/")
    lines.append(f'profile "{name}" flags=(attach_disconnected, mediate_deleted) {{')
    if "abstractions/base" in has:
        lines.append("  include <abstractions/base>")
    return "\n".join(lines) + "\n" + _RULES.format(agent=agent, name=name) + "}\n"
