"""/api/stacks/NAME: the plan of a Compose file, its deployment, and the removal of a stack."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from console.json_text import message_document
from console.server.json_answers import answer, body_of, text_of
from shoal.api.v1.control_pb2 import DeployStackRequest, DeployStackResponse, RemoveStackRequest
from shoal.compose.fault_locations import locate_faults
from shoal.compose.load import LoadedStack, load_documents
from shoal.compose.reading.yaml_document import parse_document
from shoal.errors import Fault, InvalidInput
from shoal.manager_calls.managers import Managers

FILE = Path("compose.yaml")
DIRECTORY = Path("/compose")
"""That relative paths in the file begin at; nothing is read there, or anywhere."""
MAX_TEXT = 500_000
_LOCATION = re.compile(rf"{re.escape(str(FILE))}(?::(\d+))?(?::(\d+))?:? ?")


class StackHandlers:
    """The stacks' calls. Their services are in the feed."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        yield web.post("/api/stacks/{stack}/plan", self.plan)
        yield web.post("/api/stacks/{stack}/deploy", self.deploy)
        yield web.post("/api/stacks/{stack}/remove", self.remove)

    async def plan(self, request: web.Request) -> web.StreamResponse:
        """What a deployment would change, and where tasks would go; or what is wrong, by line."""
        return await self._submit(request, dry_run=True)

    async def deploy(self, request: web.Request) -> web.StreamResponse:
        return await self._submit(request, dry_run=False)

    async def _submit(self, request: web.Request, *, dry_run: bool) -> web.StreamResponse:
        document, stack = await body_of(request), request.match_info["stack"]
        text = text_of(document, "text")
        if len(text) > MAX_TEXT:
            raise InvalidInput(f"text: {len(text):,} characters; the maximum is {MAX_TEXT:,}")
        try:
            loaded = await asyncio.to_thread(_load, stack, text)
            if loaded.project.builds:
                dry = "the image of a service is built: use `shoal stack deploy`"
                raise InvalidInput([*loaded.faults.found, Fault(str(FILE), dry)])
            faulty, prune = bool(loaded.faults.found), document.get("prune") is True
            response = await self._deploy(loaded, _request_of(loaded, prune=prune, dry_run=dry_run or faulty))
        except InvalidInput as error:
            return _refusal(error.faults)
        if loaded.faults.found:
            return _refusal(loaded.faults.found)
        answered = message_document(response)
        answered["warnings"] = [*loaded.project.warnings, *response.warnings]
        return answer(answered)

    async def _deploy(self, loaded: LoadedStack, call: DeployStackRequest) -> DeployStackResponse:
        """Raises InvalidInput: with all faults, the managers' where they are in the file."""
        try:
            return await self._managers.call(self._managers.control.DeployStack, call)
        except InvalidInput as error:
            located = locate_faults(loaded.model.tree, error.faults, loaded.faults, loaded.names)
            raise InvalidInput([*loaded.faults.found, *located]) from error

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """The body repeats the stack's name."""
        stack = request.match_info["stack"]
        if text_of(await body_of(request), "name") != stack:
            raise InvalidInput("name: is not the name of this stack")
        response = await self._managers.call(self._managers.control.RemoveStack, RemoveStackRequest(stack=stack))
        return answer(message_document(response))


def _load(stack: str, text: str) -> LoadedStack:
    """Raises InvalidInput: the text is no YAML at all."""
    return load_documents(stack, [parse_document(FILE, text)], {"COMPOSE_PROJECT_NAME": stack}, DIRECTORY)


def _request_of(loaded: LoadedStack, *, prune: bool, dry_run: bool) -> DeployStackRequest:
    project = loaded.project
    return DeployStackRequest(
        stack=loaded.names.stack,
        services=project.services,
        networks=project.networks,
        secrets=project.secrets,
        configs=project.configs,
        volumes=project.volumes,
        prune=prune,
        dry_run=dry_run,
    )


def _refusal(faults: Sequence[Fault]) -> web.Response:
    return answer(
        {"error": "the file has errors", "faults": [_located(each) for each in dict.fromkeys(faults)]}, status=400
    )


def _located(fault: Fault) -> dict[str, Any]:
    """A fault with its line and column, from 1; 0 where it has none."""
    found = _LOCATION.match(fault.path)
    line, column = (int(each or 0) for each in found.groups()) if found else (0, 0)
    path = fault.path[found.end() :] if found else fault.path
    return {"line": line, "column": column, "path": path, "message": fault.message}
