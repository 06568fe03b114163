"""Space and inodes of the file systems that a program fills."""

import os
from pathlib import Path

from shoal.api.v1.diagnosis_pb2 import DiagnosisCheck
from shoal.host_checks.findings import failed, passed, warning
from shoal.unit_formats import size

LOW, EXHAUSTED = 0.1, 0.02
"""Free parts of the whole."""


def check_disk(name: str, path: Path) -> list[DiagnosisCheck]:
    """Of the file system that a directory is on."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        return [failed(f"disk {name}", f"cannot read {path}: {error.strerror}", "check that the disk is mounted")]
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    return [
        space_check(name, str(path), free=free, total=total),
        inode_check(name, str(path), free=found.f_favail, total=found.f_files),
    ]


def space_check(name: str, path: str, *, free: int, total: int) -> DiagnosisCheck:
    """Of bytes. Pure."""
    text = f"{size(free)} of {size(total)} free at {path}"
    action = "remove what is not needed with `shoal system prune`, or enlarge the disk"
    return _judged(f"disk {name}", text, free, total, action)


def inode_check(name: str, path: str, *, free: int, total: int) -> DiagnosisCheck:
    """Of inodes; some file systems have no limit and say 0. Pure."""
    label = f"inodes {name}"
    if not total:
        return passed(label, f"no limit at {path}")
    action = "remove images and volumes of many small files, or create the file system with more inodes"
    return _judged(label, f"{free} of {total} free at {path}", free, total, action)


def _judged(name: str, text: str, free: int, total: int, action: str) -> DiagnosisCheck:
    part = free / total if total else 0.0
    if part < EXHAUSTED:
        return failed(name, text, action)
    return warning(name, text, action) if part < LOW else passed(name, text)
