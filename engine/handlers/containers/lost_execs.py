"""Commands whose session was lost with its manager: clients ask for their exit codes next, and none must read as 0."""

import asyncio
from collections import deque

from shoal.api.v1.engine_pb2 import ExecSession, GetExecRequest
from shoal.errors import NotFound, ShoalError
from shoal.manager_calls.managers import Managers

END_SECONDS = 10.0
"""The node ends the command when it notices that its manager is gone, after 5 s at most."""
UNKNOWN_EXIT_CODE = 255
"""Docker's own for an exit code that it could not learn: its command line takes none at all for 0."""
MAX_LOST = 1_000
_POLL_SECONDS = 0.2


class LostExecs:
    """Waits for the ends of such commands, and knows those whose end is not known."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._lost: deque[str] = deque(maxlen=MAX_LOST)

    async def wait_for_end(self, exec_id: str) -> None:
        """Until the node knows how it ended, or for `END_SECONDS`."""
        self._lost.append(exec_id)
        deadline = asyncio.get_running_loop().time() + END_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if await self._has_ended(exec_id):
                return
            await asyncio.sleep(_POLL_SECONDS)

    def seen(self, session: ExecSession) -> ExecSession:
        """As clients are to see it: with an exit code if its session was lost."""
        if session.id not in self._lost or session.HasField("exit_code"):
            return session
        shown = ExecSession()
        shown.CopyFrom(session)
        shown.running, shown.exit_code = False, UNKNOWN_EXIT_CODE
        return shown

    async def _has_ended(self, exec_id: str) -> bool:
        try:
            found: ExecSession = await self._managers.call(
                self._managers.containers.GetExec, GetExecRequest(id=exec_id), seconds=END_SECONDS
            )
        except NotFound:
            return True
        except ShoalError:  # no manager answers yet
            return False
        return found.HasField("exit_code")
