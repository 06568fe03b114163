"""A leader runs every controller that there is: one that nobody starts does nothing, and nothing says so."""

import ast
from pathlib import Path

MANAGER = Path(__file__).parents[3] / "manager"


def controllers() -> dict[str, Path]:
    """Classes of manager/controllers that run in a term, by name."""
    return {
        each.name: path
        for path in sorted((MANAGER / "controllers").rglob("*.py"))
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.ClassDef) and any(map(_runs_in_a_term, each.body))
    }


def _runs_in_a_term(method: ast.stmt) -> bool:
    return (
        isinstance(method, ast.AsyncFunctionDef)
        and method.name == "run"
        and [each.arg for each in method.args.args] == ["self", "fence"]
    )


def called(path: Path) -> set[str]:
    """Names of what a module calls."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {each.func.id for each in nodes if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)}


def test_every_controller_is_started() -> None:
    found = controllers()
    assert {"GarbageCollector", "RemovedImageCollector", "VolumeMover", "BackupScheduler"} <= found.keys()
    assert found.keys() - called(MANAGER / "assembly" / "leader.py") == set()
