"""Modules that are loaded when first used."""

import subprocess
import sys

import pytest

from cli.entry_point import LAZY_MODULES


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
