"""Ids of requests in calls and logs."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextvars import copy_context

import pytest

from cli.traced_command import command_request, span_name
from shoal.telemetry import log_formatters
from shoal.telemetry.request_context import (
    REQUEST_KEY,
    TRACE_KEY,
    RequestContext,
    current_request,
    new_request,
    request_from,
    request_metadata,
    request_of,
    serve,
)

ID = "0123456789abcdef"
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging and the running request are as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    serve(None)
    root.handlers[:] = handlers
    root.setLevel(level)
    log_formatters._fields.clear()


def _logged(*, json_lines: bool) -> str:
    out = io.StringIO()
    log_formatters.configure("info", json=json_lines, stream=out)
    logging.getLogger("manager.test").info("created %s", "web")
    return out.getvalue()


def test_an_id_travels_in_the_metadata_of_calls() -> None:
    serve(RequestContext(ID, TRACEPARENT))
    sent = request_metadata()
    assert sent == ((REQUEST_KEY, ID), (TRACE_KEY, TRACEPARENT))
    assert request_of(sent) == RequestContext(ID, TRACEPARENT)
    serve(RequestContext(ID))
    assert request_metadata() == ((REQUEST_KEY, ID),)
    serve(None)
    assert request_metadata() == ()


@pytest.mark.parametrize(
    "request_id", ["", "short", ID + "0", ID.upper(), "0123456789abcde\n", "{evil}", "0123456789abcde\u0661"]
)
def test_what_is_no_id_is_not_taken_over(request_id: str) -> None:
    assert request_of([(REQUEST_KEY, request_id)]) is None


@pytest.mark.parametrize(
    "traceparent",
    ["00-1-2-01", f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'b' * 16}-00", TRACEPARENT + "x" * 4096],
)
def test_what_is_no_sampled_span_is_not_traced(traceparent: str) -> None:
    assert request_from(ID, traceparent) == RequestContext(ID)


def test_new_requests_have_ids_of_their_own() -> None:
    made = {new_request().request_id for _ in range(100)}
    assert len(made) == 100
    assert all(request_from(each, "") for each in made)


def test_json_lines_have_the_fields_of_program_request_and_trace() -> None:
    log_formatters.set_log_fields(manager="m1")
    serve(RequestContext(ID, TRACEPARENT))
    line = json.loads(_logged(json_lines=True))
    time = line.pop("time")
    assert time.endswith("Z") and "T" in time
    assert line == {
        "level": "info",
        "logger": "manager.test",
        "message": "created web",
        "manager": "m1",
        "request_id": ID,
        "trace_id": "a" * 32,
    }
    serve(None)
    assert "request_id" not in json.loads(_logged(json_lines=True))


def test_lines_of_text_name_the_request_where_there_is_one() -> None:
    assert "INFO manager.test: created web" in _logged(json_lines=False)
    serve(RequestContext(ID))
    assert f"INFO manager.test: [request {ID}] created web" in _logged(json_lines=False)


def test_secrets_are_cut_out_of_lines_with_ids_too() -> None:
    serve(RequestContext(ID))
    out = io.StringIO()
    log_formatters.configure("info", json=True, stream=out)
    canary = "SHOAL-1-abcdefgh" + "z" * 20 + "-0secret"
    logging.getLogger("x").info("token %s", canary)
    assert canary not in out.getvalue()
    assert ID in out.getvalue()


def test_tasks_that_are_begun_belong_to_the_request_and_others_do_not() -> None:
    async def run() -> tuple[RequestContext | None, RequestContext | None]:
        async def look() -> RequestContext | None:
            return current_request()

        async def handle() -> RequestContext | None:
            serve(RequestContext(ID))
            return await asyncio.create_task(look())

        inside = await asyncio.create_task(handle())
        return inside, current_request()

    assert copy_context().run(asyncio.run, run()) == (RequestContext(ID), None)


def test_a_command_is_a_request_until_it_ends() -> None:
    serve(RequestContext(ID))
    with pytest.raises(KeyError), command_request(["ps"], {}, {"ps"}):
        assert current_request() not in (None, RequestContext(ID))
        raise KeyError
    assert current_request() == RequestContext(ID)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["service", "create", "--name", "web", "image"], "shoal service create"),
        (["--context", "prod", "service", "ls"], "shoal service ls"),
        (["run", "--env", "PASSWORD=x", "image"], "shoal run"),
        (["service"], "shoal service"),
        (["--help"], "shoal"),
    ],
)
def test_spans_of_commands_are_named_by_the_command_alone(arguments: list[str], name: str) -> None:
    assert span_name(arguments, {"service", "run"}) == name
