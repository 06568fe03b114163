"""What a path in a container is, as `archive` tells it: JSON in base64, with the mode bits of Go. Pure."""

import base64
import json
import stat

from engine.protocol.go_times import time_text_ns
from shoal.api.v1.engine_pb2 import PathStat

PATH_STAT_HEADER = "X-Docker-Container-Path-Stat"

_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_SPECIAL = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


def path_stat_header(found: PathStat) -> dict[str, str]:
    """The header of an answer about a path."""
    document = {
        "name": found.name,
        "size": found.size,
        "mode": go_mode(found.mode),
        "mtime": time_text_ns(found.modified_ns),
        "linkTarget": found.link_target,
    }
    return {PATH_STAT_HEADER: base64.b64encode(json.dumps(document).encode()).decode()}


def go_mode(mode: int) -> int:
    """Go's `os.FileMode` of `st_mode`."""
    special = sum(bit for flag, bit in _SPECIAL.items() if mode & flag)
    return _KINDS.get(stat.S_IFMT(mode), 0) | special | mode & 0o777
