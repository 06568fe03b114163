"""Shortcuts of container starts that depend on the internals of crun and of the kernel."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Optimizations:
    """Which shortcuts are used: all of them, or none, so that a host is in one of two states.

    Without them, containers start in the documented ways of crun and the kernel.

    Attributes:
        cgroup_lock: keep the kernel's cgroup attach lock in its fast path (8 to 15 ms per start).
        sealed_program: run crun from a sealed file in memory (2 ms).
        start_fifo: start the program by a byte into crun's fifo, not by `crun start` (one process).
        compiled_filters: pass compiled seccomp filters by annotation (25 ms).
    """

    cgroup_lock: bool = True
    sealed_program: bool = True
    start_fifo: bool = True
    compiled_filters: bool = True


ALL_OPTIMIZATIONS = Optimizations()
NO_OPTIMIZATIONS = Optimizations(cgroup_lock=False, sealed_program=False, start_fifo=False, compiled_filters=False)
