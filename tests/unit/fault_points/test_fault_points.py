"""What `SHOAL_FAULTS` says happens; the list of points is that of the code."""

import ast
import errno
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.fault_points.injection import injector_of
from shoal.fault_points.points import POINTS
from shoal.fault_points.specification import FaultAction, InjectedFault, parse_faults
from tests.integration.faults import test_backup_points, test_manager_points
from tests.integration.faults.agent_runs import MANAGER_RUNS, RUNS
from tests.integration.faults.test_identity_points import IDENTITY_POINTS
from tests.integration.faults.test_image_points import IMAGE_POINTS
from tests.integration.faults.test_store_points import STORE_POINTS
from tests.integration.images.test_image_store import COLLECTION_POINTS

ROOT = Path(__file__).parents[3]
MEASURED_STEPS = {
    ROOT / "agent/runtime" / name for name in ("launch/launcher.py", "launch/start_steps.py", "rootfs/kept_roots.py")
}
"""In these `step` takes the name of a point, which it passes to `fault`."""
IMPORT = "from shoal.fault_points.injection import fault\n"
POINT = "agent.start.overlay"
OTHER = "agent.start.spec"
PROGRAM = f"from shoal.fault_points.injection import fault\nfault({POINT!r})\nprint('alive')"


def points_in(path: Path) -> Iterator[str]:
    names = ("fault", "step", "_step") if path in MEASURED_STEPS else ("fault",)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in names and node.args:
                if isinstance(node.args[0], ast.Constant):
                    yield str(node.args[0].value)
                else:
                    assert path in MEASURED_STEPS, f"{path}: the name of a fault point is not a literal"


def test_the_list_has_all_points_of_the_code_and_each_once() -> None:
    sources = [path for program in ("agent", "manager", "shoal") for path in (ROOT / program).rglob("*.py")]
    sources = [path for path in sources if path in MEASURED_STEPS or IMPORT in path.read_text()]
    found = Counter(name for path in sources for name in points_in(path))
    assert set(found) == set(POINTS)
    assert [name for name, count in found.items() if count > 1] == []


def test_every_point_has_a_run() -> None:
    of_managers = {
        *test_manager_points.CHANGES,
        *test_manager_points.LEADER_OF_A_JOIN,
        *test_manager_points.LATER_CHANGES,
        *(f"manager.join.{step}" for step in test_manager_points.JOINER),
        test_manager_points.KEY_ROTATION,
        *(f"manager.backup.{step}" for step in test_backup_points.BACKUP_STEPS),
    }
    runs = {*RUNS, *MANAGER_RUNS, *of_managers, *STORE_POINTS, *IDENTITY_POINTS, *IMAGE_POINTS, *COLLECTION_POINTS}
    assert set(POINTS) == runs


def test_the_notation() -> None:
    text = f"{POINT}=raise:ENOSPC@2, {OTHER}=hang:1.5\n"
    assert parse_faults(text, POINTS) == {
        POINT: InjectedFault(FaultAction.RAISE, number=errno.ENOSPC, occurrence=2),
        OTHER: InjectedFault(FaultAction.HANG, seconds=1.5),
    }
    assert parse_faults(f"{POINT}=hang,{POINT}=kill@3", POINTS) == {
        POINT: InjectedFault(FaultAction.KILL, occurrence=3)
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("agent.nothing=kill", "fault point not found: 'agent.nothing'"),
        (POINT, "is not POINT=ACTION"),
        (f"{POINT}=explode", "'explode' is none of kill, raise and hang"),
        (f"{POINT}=kill:now", "kill takes no argument"),
        (f"{POINT}=kill@0", "'0' is not the number of an occurrence"),
        (f"{POINT}=raise:ENOTHING", "'ENOTHING' is not the name of an error"),
        (f"{POINT}=raise:errorcode", "'errorcode' is not the name of an error"),
        (f"{POINT}=hang:long", "'long' is not a number of seconds"),
    ],
)
def test_what_is_not_a_specification(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_faults(text, POINTS)


def test_without_anything_in_the_environment_there_is_no_injector() -> None:
    assert injector_of({"PATH": "/bin", "SHOAL_FAULTS": ""}) is None


def test_an_error_at_the_second_time_alone() -> None:
    injector = injector_of({"SHOAL_FAULTS": f"{POINT}=raise:EIO@2"})
    assert injector is not None
    injector.reached(POINT)
    with pytest.raises(OSError, match="Input/output error") as failure:
        injector.reached(POINT)
    assert failure.value.errno == errno.EIO
    injector.reached(POINT)
    injector.reached(OTHER)


def test_a_point_that_is_not_listed_is_an_error() -> None:
    injector = injector_of({"SHOAL_FAULTS": f"{POINT}=kill@9"})
    assert injector is not None
    with pytest.raises(ValueError, match=r"agent\.nothing. is not in"):
        injector.reached("agent.nothing")


def test_a_file_is_read_at_each_point_and_counts_begin_with_its_text(tmp_path: Path) -> None:
    file, record = tmp_path / "faults", tmp_path / "record"
    injector = injector_of({"SHOAL_FAULTS": f"@{file}", "SHOAL_FAULTS_RECORD": str(record)})
    assert injector is not None
    injector.reached(POINT)
    file.write_text(f"{POINT}=raise:ENOSPC@2")
    injector.reached(POINT)
    with pytest.raises(OSError, match="No space left"):
        injector.reached(POINT)
    file.unlink()
    injector.reached(POINT)
    injector.reached(OTHER)
    assert record.read_text().splitlines() == [POINT, OTHER]


def run(specification: str) -> subprocess.CompletedProcess[str]:
    environment = {"SHOAL_FAULTS": specification, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_process_that_is_to_die_dies_and_says_where() -> None:
    done = run(f"{POINT}=kill")
    assert (done.returncode, done.stdout, done.stderr) == (-9, "", f"fault point {POINT}: kill\n")


def test_a_process_with_a_bad_specification_does_not_start() -> None:
    done = run("agent.nothing=kill")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "SHOAL_FAULTS: fault point not found: 'agent.nothing'\n"


def test_other_points_go_on() -> None:
    assert run(f"{OTHER}=kill").stdout == "alive\n"
