"""What the command line imports on every start stays light."""

import subprocess
import sys

import pytest


def _imported(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "shoal.contexts.context_store",
        "shoal.contexts.context_archive",
        "shoal.identity.identity",
        "shoal.contexts.certificate_renewal",
    ],
)
def test_files_of_contexts_need_neither_grpc_nor_cryptography_nor_asyncio(module: str) -> None:
    assert not _imported(f"import {module}") & {"grpc", "cryptography", "asyncio", "google.protobuf"}


@pytest.mark.parametrize("module", ["shoal.rpc.channel", "shoal.rpc.status_mapping"])
def test_calling_a_manager_does_not_need_cryptography(module: str) -> None:
    # `import grpc` imports asyncio by itself, so that it cannot be kept out here.
    assert not _imported(f"import {module}") & {"cryptography", "shoal.rpc.grpc_server", "shoal.rpc.guard"}


def test_grpc_is_told_to_keep_quiet_before_it_is_imported() -> None:
    script = "import os, shoal.api.v1.control_pb2_grpc; print(os.environ['GRPC_VERBOSITY'])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "NONE\n"
