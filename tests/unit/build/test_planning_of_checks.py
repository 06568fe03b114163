"""What the build program gives to build checks."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.build.program.planning import plan_build
from shoal.api.v1.builds_pb2 import BuildStart

FILE = b"""FROM scratch AS unused
CMD echo hi
FROM scratch
COPY left.out /
"""
PATTERNS = ("left.out",)


def rules(start: BuildStart, inputs: object = None) -> list[str]:
    settings: Any = SimpleNamespace(platform=("linux", "amd64", ""))
    untyped: Any = inputs
    no_images: Any = None
    planned = asyncio.run(plan_build(start, settings, untyped, no_images))
    return [each.rule.name for each in planned.report.warnings]


def test_a_check_looks_at_every_stage_unless_it_has_a_target() -> None:
    assert rules(BuildStart(dockerfile_text=FILE)) == []
    assert rules(BuildStart(dockerfile_text=FILE, check_only=True)) == ["JSONArgsRecommended"]
    assert rules(BuildStart(dockerfile_text=FILE, check_only=True, target="1")) == []


def test_copies_of_what_the_client_left_out_are_known() -> None:
    assert rules(BuildStart(dockerfile_text=FILE, ignore_patterns=PATTERNS)) == ["CopyIgnoredFile"]


def test_copies_of_what_the_dockerignore_of_a_whole_context_leaves_out_are_known(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(FILE)
    (tmp_path / ".dockerignore").write_text("left.out\n")

    async def tree(name: str) -> SimpleNamespace:
        return SimpleNamespace(directory=tmp_path)

    inputs = SimpleNamespace(tree=tree, is_listed=lambda name: False)
    assert rules(BuildStart(), inputs) == ["CopyIgnoredFile"]
