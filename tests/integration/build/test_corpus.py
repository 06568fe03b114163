"""The corpus of Dockerfiles: each gives the image that it should, by its unpacked files and its settings."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from shoal.api.v1.builds_pb2 import BuildStart
from tests.integration.build.build_rig import Rig, play
from tests.integration.build.corpus import command_cases, copy_cases, instruction_cases
from tests.integration.build.corpus.corpus_case import Case
from tests.integration.build.corpus.image_tree import ImageTree, read_image

MODULES = (instruction_cases, copy_cases, command_cases)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_each_gives_its_image(tmp_path: Path, module: object) -> None:
    cases: Sequence[Case] = module.CASES  # type: ignore[attr-defined]

    async def scenario(rig: Rig) -> None:
        base = await _build(rig, Case("base", "FROM $BASE\n"))
        assert isinstance(base, ImageTree), base
        wrong: list[str] = []
        for case in cases:
            found = await _build(rig, case)
            if isinstance(found, ImageTree):
                wrong += [f"{case.name}: {each}" for each in _faults(case, found, base)]
            else:
                wrong.append(f"{case.name}: {found}")
        assert not wrong, "\n".join(wrong)

    play(tmp_path, scenario, seconds=300)


def test_the_corpus_is_large() -> None:
    names = [case.name for module in MODULES for case in module.CASES]
    assert len(names) == len(set(names)) >= 85


async def _build(rig: Rig, case: Case) -> ImageTree | str:
    """The image, or why there is none."""
    end = await rig.build(
        case.dockerfile, case.context, secrets=case.secrets, output=BuildStart.DOCKER_ARCHIVE, **case.options
    )
    if end.error is not None:
        return f"{end.error}; {end.log}"
    return read_image(io.BytesIO(b"".join(each.file_data for each in end.outputs)))


def _faults(case: Case, found: ImageTree, base: ImageTree) -> list[str]:
    of_base = base.files if _is_on_base(case) else {}
    faults = []
    for path in sorted({*found.files, *of_base, *case.files}):
        is_there = found.files[path].described() if path in found.files else None
        below = of_base[path].described() if path in of_base else None
        expected = case.files.get(path, below)
        if is_there != expected:
            faults.append(f"{path}: {is_there!r}, not {expected!r}")
    for key, value in case.settings.items():
        if found.settings.get(key) != value:
            faults.append(f"{key}: {found.settings.get(key)!r}, not {value!r}")
    return faults


def _is_on_base(case: Case) -> bool:
    """Whether the last stage, or the target, has the base image below it."""
    return "FROM scratch" not in case.dockerfile
