"""gRPC servicer of `LLBBridge`: by it clients call the Dockerfile frontend within a solve that they have begun."""

import uuid

from engine.buildkit.builder import Builder, exporter_response
from engine.buildkit.rpc_errors import CallFailed, Context, abort, failures
from engine.buildkit.solves import RunningSolve, Solves
from engine.buildkit.translation.capabilities import pong
from engine.buildkit.translation.check_results import check_metadata
from engine.buildkit.translation.definitions import definition_of, refuse
from engine.buildkit.v1.gateway_pb2 import (
    EvaluateRequest,
    EvaluateResponse,
    InputsRequest,
    InputsResponse,
    PingRequest,
    PongResponse,
    Ref,
    Result,
    ReturnRequest,
    ReturnResponse,
    SolveRequest,
    SolveResponse,
)
from engine.buildkit.v1.gateway_pb2_grpc import LLBBridgeServicer
from engine.server.callers import ApiCaller
from shoal.api.v1.builds_pb2 import BuildResult
from shoal.image_reference import parse

_BUILD = "buildkit-controlapi-buildid"
_CONFIG = "containerimage.config"
_UNNAMED = "shoal/result"
"""With a digest it means an image without a name, whatever the repository."""


class GatewayService(LLBBridgeServicer):
    """Serves one caller."""

    def __init__(self, solves: Solves, builder: Builder, caller: ApiCaller) -> None:
        self._solves = solves
        self._builder = builder
        self._caller = caller

    async def Ping(self, request: PingRequest, context: Context) -> PongResponse:  # noqa: N802  # named by the protocol
        """What can be done."""
        return pong()

    async def Solve(self, request: SolveRequest, context: Context) -> SolveResponse:  # noqa: N802
        """The whole build, with the export of its result: all of it is done by a node in one call."""
        try:
            with failures():
                refuse(request.definition)
                solve = await self._solve(context)
                return SolveResponse(result=await self._build(solve, request))
        except CallFailed as error:
            await abort(context, error.status)

    async def Evaluate(self, request: EvaluateRequest, context: Context) -> EvaluateResponse:  # noqa: N802
        """Results are complete as soon as they are known."""
        return EvaluateResponse()

    async def Inputs(self, request: InputsRequest, context: Context) -> InputsResponse:  # noqa: N802
        """None: they come with the calls of a frontend."""
        return InputsResponse()

    async def Return(self, request: ReturnRequest, context: Context) -> ReturnResponse:  # noqa: N802
        """The end of the solve."""
        try:
            with failures():
                solve = await self._solve(context)
        except CallFailed as error:
            await abort(context, error.status)
        if not solve.returned.done():
            solve.returned.set_result(request)
        return ReturnResponse()

    async def _solve(self, context: Context) -> RunningSolve:
        metadata = dict(context.invocation_metadata() or ())
        return await self._solves.find(self._caller, str(metadata.get(_BUILD, "")))

    async def _build(self, solve: RunningSolve, request: SolveRequest) -> Result:
        built = await self._builder.build(solve, request.frontend, request.frontend_opt, request.frontend_inputs)
        dockerfile = built.dockerfile
        if request.frontend_opt.get("requestid"):
            name, text = (dockerfile.name, dockerfile.text) if dockerfile is not None else ("Dockerfile", b"")
            return Result(metadata=check_metadata(name, text, built.warnings))
        identifier = uuid.uuid4().hex
        solve.responses[identifier] = exporter_response(built)
        return _result(identifier, built.result)


def _result(identifier: str, result: BuildResult) -> Result:
    """A result, which another build may have as a context if it is an image."""
    reference = Ref(id=identifier)
    if not result.image.variants:
        return Result(ref=reference)
    name = parse(result.names[0] if result.names else _UNNAMED)
    reference.definition.CopyFrom(definition_of(str(name.with_digest(result.digest))))
    return Result(ref=reference, metadata={_CONFIG: result.image.variants[0].config})
