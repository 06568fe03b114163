"""How far a volume's move is, on a terminal and elsewhere."""

import pytest

from cli.render.move_progress import MoveDisplay, line
from shoal.api.v1.volume_pb2 import VolumeMoveStatus


class Stream:
    def __init__(self, *, terminal: bool) -> None:
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def copying(done: int) -> VolumeMoveStatus:
    return VolumeMoveStatus(state=VolumeMoveStatus.COPYING, bytes=done << 20, total_bytes=64 << 20)


def test_a_line_tells_what_goes_on() -> None:
    assert line(copying(16), bar=True) == f"copying  [{'#' * 7}{'.' * 23}]  25% of 64 MiB"
    assert line(VolumeMoveStatus(state=VolumeMoveStatus.VERIFYING), bar=False) == "verifying  100% of 0 B"
    waiting = VolumeMoveStatus(state=VolumeMoveStatus.WAITING, message="waiting for node h2, which is down")
    assert line(waiting, bar=True) == "waiting for node h2, which is down"
    retrying = VolumeMoveStatus(state=VolumeMoveStatus.WAITING, message="no response from node h2; retrying")
    assert line(retrying, bar=True) == "waiting: no response from node h2; retrying"


def test_elsewhere_lines_come_when_the_step_changes_and_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    display = MoveDisplay(Stream(terminal=False), lambda: now, volume="data", node="h2")
    for second, done in ((100, 1), (101, 2), (109, 3), (110, 4)):
        now = float(second)
        display.update(copying(done))
    display.update(VolumeMoveStatus(state=VolumeMoveStatus.VERIFYING, total_bytes=64 << 20))
    display.update(VolumeMoveStatus(state=VolumeMoveStatus.DONE))
    display.close()
    reported = capsys.readouterr().err.splitlines()
    assert [each.split("  ")[0] for each in reported] == ["data to h2: copying"] * 2 + ["data to h2: verifying"]


def test_a_terminal_has_one_line_that_is_drawn_over(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    display = MoveDisplay(Stream(terminal=True), lambda: 0.0, volume="data", node="h2")
    display.update(copying(1))
    display.update(copying(1))
    display.update(copying(2))
    display.close()
    reported = capsys.readouterr().err
    assert reported.count("\r") == 2 and reported.endswith("\n") and reported.count("\n") == 1
