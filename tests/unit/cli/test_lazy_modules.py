"""Modules that are loaded when first used."""

import inspect
import platform
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.entry_point import LAZY_MODULES
from cli.stand_ins import STAND_INS, cleandoc, get_annotations


def run(*lines: str) -> str:
    """In a process of its own, whose modules are nobody else's."""
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


DEFER = f"from cli.lazy_modules import defer; defer(*{LAZY_MODULES})"
CALL = (
    "import grpc",
    "from shoal.api.v1 import control_pb2, control_pb2_grpc",
    "import shoal.rpc.channel, shoal.rpc.status_mapping",
    "channel = grpc.insecure_channel('127.0.0.1:1')",
    "stub = control_pb2_grpc.ControlStub(channel)",
)
LOADED = "import sys; print([name for name in ('asyncio.events', 'grpc.aio._call', 'pickle') if name in sys.modules])"


def test_what_a_call_does_not_need_is_not_loaded() -> None:
    assert "asyncio.events" in run(*CALL, LOADED)
    assert "asyncio.events" not in run(DEFER, *CALL, LOADED)
    assert "grpc.aio._call" not in run(DEFER, *CALL, LOADED)


@pytest.mark.parametrize(
    "use",
    [
        "import asyncio; print(asyncio.run(asyncio.sleep(0, 'used')))",
        "from asyncio import run, sleep; print(run(sleep(0, 'used')))",
        "import asyncio.subprocess; import asyncio; print(asyncio.run(asyncio.sleep(0, 'used')))",
        "from grpc import aio; print('used' if issubclass(aio.AioRpcError, Exception) else '')",
        "import grpc.aio; print('used' if grpc.aio.Channel else '')",
        "from google.protobuf.internal import python_message as used; print(used.text_format and 'used')",
        "import asyncio; print(hasattr(asyncio, 'Task') and not hasattr(asyncio, 'nothing') and 'used')",
        "from shoal.rpc.status_mapping import to_shoal_error; print(to_shoal_error(grpc.RpcError('x')) and 'used')",
    ],
)
def test_what_is_used_is_there(use: str) -> None:
    assert run(DEFER, *CALL, use) == "used"


def test_one_that_is_not_there_or_is_imported_stays_as_it_is() -> None:
    reported = run(
        "import json, sys",
        "from cli.lazy_modules import defer",
        "before = sys.modules['json']",
        "defer('json', 'no_such_module', 'json.no_such_module', 'no_such_package.module')",
        "print(sys.modules['json'] is before, 'no_such_module' in sys.modules, 'json.no_such_module' in sys.modules)",
    )
    assert reported == "True False False"


def test_all_are_loaded_before_threads_use_them() -> None:
    load = "from cli.lazy_modules import load_deferred; load_deferred()"
    assert "grpc.aio._call" in run(DEFER, *CALL, load, LOADED)
    kinds = f"import sys; print({{type(sys.modules[name]).__name__ for name in {LAZY_MODULES}}})"
    assert run(DEFER, *CALL, load, kinds) == "{'module'}"


STAND_IN = (
    "from cli.lazy_modules import stand_in",
    "from cli.stand_ins import STAND_INS",
    "for each in STAND_INS.items(): stand_in(*each)",
)
KINDS = f"import sys; print({{type(sys.modules[name]).__name__ for name in {tuple(STAND_INS)}}})"


def test_run_needs_nothing_more_of_them_than_their_stand_ins() -> None:
    command = "import cli.main, cli.commands.container.run, uuid; uuid.UUID"
    assert run(DEFER, *STAND_IN, command, KINDS) == "{'_Deferred'}"


@pytest.mark.parametrize(
    "use",
    [
        "import inspect; print(inspect.cleandoc('used'))",
        "from inspect import signature; print(signature(print) and 'used')",
        "import inspect; inspect.signature(print); print(inspect.cleandoc.__module__ == 'inspect' and 'used')",
        "import inspect; print(inspect.get_annotations(inspect.signature, eval_str=True) is not None and 'used')",
        "import platform; print(platform.system() and platform.machine() and 'used')",
        "from dataclasses import make_dataclass; print(make_dataclass('D', ['x'])(x='used').x)",
    ],
)
def test_all_else_of_them_is_there_too(use: str) -> None:
    assert run(*STAND_IN, use) == "used"


def test_one_that_is_loaded_already_keeps_its_functions() -> None:
    assert run("import inspect", *STAND_IN, "print(inspect.cleandoc.__module__)") == "inspect"


def test_annotations_are_those_of_inspect() -> None:
    class Annotated:
        number: int
        text: "str" = ""

    for of in (Annotated, get_annotations, int):
        assert get_annotations(of) == inspect.get_annotations(of)
    assert get_annotations(Annotated, eval_str=True) == {"number": int, "text": str}


@given(st.text("a \t\n", max_size=30))  # of other white space releases of Python strip more or less
def test_text_is_cleaned_as_by_inspect(text: str) -> None:
    assert cleandoc(text) == inspect.cleandoc(text)


def test_the_system_is_as_platform_has_it() -> None:
    assert STAND_INS["platform"]["system"]() == platform.system()
