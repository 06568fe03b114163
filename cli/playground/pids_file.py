"""The process ids of a playground's daemons, by name, in a file of its state."""

import json
from collections.abc import Mapping

from cli.playground.layout import Layout


def load_pids(layout: Layout) -> dict[str, int]:
    """Those that were started; none before the first."""
    try:
        pids: dict[str, int] = json.loads((layout.state / "pids.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return pids


def save_pids(layout: Layout, pids: Mapping[str, int]) -> None:
    """Replace the file, whole or not at all."""
    path = layout.state / "pids.json"
    path.with_suffix(".new").write_text(json.dumps(dict(pids)))
    path.with_suffix(".new").rename(path)
