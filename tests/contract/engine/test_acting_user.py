"""While a request is served, calls to managers are for its user: over TLS by the certificate, locally for nobody."""

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from engine.app import user_for
from engine.server.call import Call
from engine.server.callers import local_caller
from engine.server.routes import Route, RouteTable
from shoal.identity.roles import Role
from shoal.manager_calls.acting_user import acting_for, acting_metadata
from shoal.rpc.on_behalf import ON_BEHALF_KEY
from tests.contract.engine.rig.raw_http import request
from tests.contract.engine.rig.served import Served, constant, served


async def _answer(call: Call) -> web.StreamResponse:
    return call.json({"metadata": acting_metadata(), "caller": str(call.caller)})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Served]:
    routes = RouteTable([Route("GET", "/info", _answer, "SystemInfo")])
    with served(
        constant(routes),
        tmp_path,
        local=local_caller(Role.ENGINE),
        acting_for=lambda caller: acting_for(user_for(caller, Role.ENGINE)),
    ) as serving:
        yield serving


def _over_tls(engine: Served) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(engine.certificates / "ca.pem"))
    context.load_cert_chain(engine.certificates / "cert.pem", engine.certificates / "key.pem")
    return http.client.HTTPSConnection("127.0.0.1", engine.port, timeout=60, context=context)


def test_users_of_tcp_are_named_and_local_ones_are_not(engine: Served) -> None:
    connection = _over_tls(engine)
    try:
        for _ in range(2):  # on one connection
            connection.request("GET", "/info")
            answer = json.loads(connection.getresponse().read())
            assert answer == {"metadata": [[ON_BEHALF_KEY, "admin ada"]], "caller": "admin ada"}
            _, _, body = request(engine.socket, "GET", "/info")
            assert json.loads(body) == {"metadata": [], "caller": "local user"}
    finally:
        connection.close()
