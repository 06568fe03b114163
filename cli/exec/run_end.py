"""The end of a container's run, and the exit codes of runs that never began. Imports nothing of sessions."""

import re
import threading
from typing import TYPE_CHECKING

from cli.client import Client
from shoal.api.v1.engine_pb2 import WaitContainerRequest

if TYPE_CHECKING:
    from shoal.api.v1.engine_pb2_grpc import ContainersStub

EXIT_NOT_RUN, EXIT_CANNOT_EXECUTE, EXIT_NOT_FOUND = 125, 126, 127
"""Docker's exit codes: the container was not started; its program is not executable; its program does not exist."""

REMOVAL_SECONDS = 10.0
"""How long the removal of what could not be started is waited for, so that its name is free again."""

_NOT_FOUND = r"no such file in the image|executable file not found|no such file or directory|not found in \$PATH"
_CANNOT_EXECUTE = r"not executable|permission denied|is a directory|exec format error"


def start_error_code(text: str) -> int:
    """The exit code for a start that failed, by what was said of it, as Docker's command line has it."""
    if re.search(_NOT_FOUND, text, re.IGNORECASE):
        return EXIT_NOT_FOUND
    return EXIT_CANNOT_EXECUTE if re.search(_CANNOT_EXECUTE, text, re.IGNORECASE) else EXIT_NOT_RUN


class RunEnd:
    """The end of a run, waited for by a call that was made before its start.

    Args:
        is_removed: its removal is waited for too.
    """

    def __init__(self, stub: "ContainersStub", container: str, *, is_removed: bool) -> None:
        condition = WaitContainerRequest.REMOVED if is_removed else WaitContainerRequest.NEXT_EXIT
        self._responses = stub.WaitContainer(WaitContainerRequest(container=container, condition=condition))
        self._waiting, self._ended = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._code = 0
        threading.Thread(target=self._follow, daemon=True).start()

    def wait_until_waiting(self, client: Client) -> None:
        """Return when no end can be missed any more. Raises ShoalError."""
        self._waiting.wait()
        self._raise_failure(client)

    def wait(self, seconds: float) -> None:
        """Wait for the end, at most so long, whatever it is."""
        self._ended.wait(seconds)

    def exit_code(self, client: Client) -> int:
        """Wait for the end. Raises ShoalError: it is unknown."""
        self._ended.wait()
        self._raise_failure(client)
        return self._code

    def _raise_failure(self, client: Client) -> None:
        if self._failure is not None:
            client.raise_for(self._failure)

    def _follow(self) -> None:
        """In a thread of its own."""
        try:
            for response in self._responses:
                self._waiting.set()
                self._code = response.exit_code
        except Exception as error:  # of gRPC; raised again where it is waited for
            self._failure = error
        self._waiting.set()
        self._ended.set()
