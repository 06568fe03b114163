"""Makes builds of what clients ask the Dockerfile frontend for."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from engine.buildkit.build_inputs import ClientInputs
from engine.buildkit.build_run import BuildRun, Built
from engine.buildkit.session.client_session import ClientSessions
from engine.buildkit.solves import RunningSolve
from engine.buildkit.status_feed import StatusFeed
from engine.buildkit.translation.exporters import ResultOptions, read_exporter
from engine.buildkit.translation.frontend_options import FrontendOptions, read_options
from engine.buildkit.v1.ops_pb2 import Definition
from engine.server.callers import ApiCaller
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.image_reference import parse
from shoal.manager_calls.managers import Managers


@dataclass(frozen=True)
class Builder:
    """Attributes:
    check: whether a caller may have a build. Raises ShoalError.
    preferred_node: the node for a name that was never built; empty: any.
    """

    managers: Managers
    sessions: ClientSessions
    check: Callable[[ApiCaller, BuildStart], None]
    preferred_node: Callable[[], Awaitable[str]]

    async def build(
        self, solve: RunningSolve, frontend: str, options: Mapping[str, str], inputs: Mapping[str, Definition]
    ) -> Built:
        """Build, and export the result as the solve says.

        Raises:
            SolveFailed: why there is no result. ShoalError: what is asked for is not valid, or not served.
        """
        result = read_exporter(solve.request)
        read = read_options(frontend, options, inputs, solve.request, result)
        inputs_of_client = ClientInputs(self.sessions, solve.caller, solve.request.session, read)
        return await self.run(solve.caller, inputs_of_client, read, result, solve.feed, ref=solve.request.ref)

    async def run(
        self,
        caller: ApiCaller,
        inputs: ClientInputs,
        options: FrontendOptions,
        result: ResultOptions,
        feed: StatusFeed,
        *,
        ref: str,
    ) -> Built:
        """Build what was read already. Raises SolveFailed."""
        run = BuildRun(
            self.managers,
            inputs,
            options,
            result,
            feed,
            ref=ref,
            check=lambda start: self.check(caller, start),
            preferred_node=self.preferred_node,
        )
        return await run.run()


def exporter_response(built: Built) -> dict[str, str]:
    """What clients are told of the result."""
    found = {
        "containerimage.digest": built.result.digest,
        "containerimage.config.digest": built.result.image_id,
        "image.name": ",".join(str(parse(each)) for each in built.result.names),
    }
    return {key: value for key, value in found.items() if value}
