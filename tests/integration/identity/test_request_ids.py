"""A command's request id reaches the server over real connections: in its log, and in the text of an internal error."""

import asyncio
import logging
from pathlib import Path

import pytest

from cli.client import Client
from shoal.api.v1.control_pb2 import GetClusterRequest, ListNodesRequest, WatchServicesRequest
from shoal.contexts.context_file import Context
from shoal.errors import ShoalError
from shoal.identity.roles import Role
from shoal.telemetry.request_context import new_request, serve
from tests.integration.identity.rig import Cluster, run


def _call(context: Context) -> tuple[str, str]:
    """The id of a command's request, and the text of its error."""
    request = new_request()
    serve(request)
    with Client(context) as client:
        client.call(client.control.ListNodes, ListNodesRequest())
        assert len(list(client.stream(client.control.WatchServices, WatchServicesRequest(), seconds=60))) == 2
        pending = client.control.ListNodes.future(ListNodesRequest())
        client.finish(lambda: pending)
        with pytest.raises(ShoalError) as caught:
            client.call(client.control.GetCluster, GetClusterRequest())
    return request.request_id, str(caught.value)


def test_an_internal_error_names_the_request_of_the_command(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(made: Cluster) -> None:
        made.identity(Role.ADMIN).save(tmp_path)
        context = Context(name="test", addresses=(made.api,), directory=tmp_path)
        with caplog.at_level(logging.CRITICAL):
            sent, text = await asyncio.to_thread(_call, context)
        assert text.endswith(f"for request {sent}")

    run(scenario)
