"""What a user has typed wrongly is told in one line, with where to read on."""

from pathlib import Path

import pytest

from cli.main import main


def reported(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "help_of"),
    [
        (("nonsense",), "shoal"),
        (("--nonsense",), "shoal"),
        (("service", "nonsense"), "shoal service"),
        (("service", "create"), "shoal service create"),
        (("service", "create", "--nonsense"), "shoal service create"),
        (("completion", "tcsh"), "shoal completion"),
    ],
)
def test_misuse_is_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], help_of: str) -> None:
    line = reported(capsys, *arguments)
    assert line.startswith("error: ") and line.count("\n") == 1
    assert line.endswith(f"; see `{help_of} --help`\n")


def test_a_group_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(capsys, "service").startswith("Usage: shoal service")


def test_what_is_no_image_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_text("not an archive")
    line = reported(capsys, "image", "push", str(path), "registry.test/a:1")
    assert line.startswith(f"error: {path}: neither an OCI layout") and line.count("\n") == 1
