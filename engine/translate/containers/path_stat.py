"""What a path in a container is, as `archive` tells it: JSON in base64, with the mode bits of Go. Pure."""

import base64
import json

from engine.protocol.go_modes import to_go_mode
from engine.protocol.go_times import time_text_ns
from shoal.api.v1.engine_pb2 import PathStat

PATH_STAT_HEADER = "X-Docker-Container-Path-Stat"


def path_stat_header(found: PathStat) -> dict[str, str]:
    """The header of an answer about a path."""
    document = {
        "name": found.name,
        "size": found.size,
        "mode": to_go_mode(found.mode),
        "mtime": time_text_ns(found.modified_ns),
        "linkTarget": found.link_target,
    }
    return {PATH_STAT_HEADER: base64.b64encode(json.dumps(document).encode()).decode()}
