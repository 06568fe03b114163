"""/api/services/ID: one service, and what is done to it."""

from collections.abc import Iterable

from aiohttp import web

from console.forms.form_fields import faults_by_field
from console.forms.service_form import FIELD_OF, change_service, service_spec
from console.json_text import message_document
from console.server.json_answers import answer, body_of, number_of, text_of
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetServiceRequest,
    ListRevisionsRequest,
    ListTasksRequest,
    ManageUpdateRequest,
    RebalanceServiceRequest,
    RemoveServiceRequest,
    RollbackServiceRequest,
    RunJobRequest,
    ScaleServicesRequest,
    UpdateServiceRequest,
)
from shoal.errors import InvalidInput
from shoal.manager_calls.managers import Managers

MAX_REPLICAS = 1_000_000
_JOBS = frozenset({"replicated_job", "global_job"})
_ACTIONS = {
    "pause": ManageUpdateRequest.PAUSE,
    "resume": ManageUpdateRequest.RESUME,
    "promote": ManageUpdateRequest.PROMOTE,
}


class ServiceHandlers:
    """A service's calls. Lists of services are in the feed."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._control = managers.control

    def routes(self) -> Iterable[web.RouteDef]:
        """Under `/api`."""
        one = "/api/services/{service}"
        yield web.post("/api/services", self.create)
        yield web.get(one, self.show)
        yield web.get(one + "/tasks", self.tasks)
        yield web.get(one + "/revisions", self.revisions)
        yield web.post(one + "/scale", self.scale)
        yield web.post(one + "/update", self.update)
        yield web.post(one + "/update-control", self.control_update)
        yield web.post(one + "/rollback", self.roll_back)
        yield web.post(one + "/rebalance", self.rebalance)
        yield web.post(one + "/run", self.run)
        yield web.post(one + "/remove", self.remove)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Of a form; `dry_run` answers with what would be stored, and where its tasks would run."""
        document = await body_of(request)
        call = CreateServiceRequest(
            spec=service_spec(document), dry_run=document.get("dry_run") is True, with_moves=True
        )
        try:
            made = await self._managers.call(self._control.CreateService, call)
        except InvalidInput as error:
            raise InvalidInput(faults_by_field(error.faults, FIELD_OF)) from error
        return answer(message_document(made), status=200 if call.dry_run else 201)

    async def show(self, request: web.Request) -> web.StreamResponse:
        call = GetServiceRequest(service=request.match_info["service"])
        return answer(message_document(await self._managers.call(self._control.GetService, call)))

    async def tasks(self, request: web.Request) -> web.StreamResponse:
        """Those that have ended too, which the feed has only as long as the managers keep them."""
        call = ListTasksRequest(service=request.match_info["service"], include_ended=True)
        return answer(message_document(await self._managers.call(self._control.ListTasks, call)))

    async def revisions(self, request: web.Request) -> web.StreamResponse:
        call = ListRevisionsRequest(service=request.match_info["service"])
        return answer(message_document(await self._managers.call(self._control.ListRevisions, call)))

    async def scale(self, request: web.Request) -> web.StreamResponse:
        replicas = number_of(await body_of(request), "replicas", most=MAX_REPLICAS)
        target = ScaleServicesRequest.Target(service=request.match_info["service"], replicas=replicas)
        await self._managers.call(self._control.ScaleServices, ScaleServicesRequest(targets=[target]))
        return answer({})

    async def update(self, request: web.Request) -> web.StreamResponse:
        """Change image, environment, replicas and limits; `dry_run` answers with what would be stored, and moves."""
        document, name = await body_of(request), request.match_info["service"]
        view = await self._managers.call(self._control.GetService, GetServiceRequest(service=name))
        container = view.service.spec.task.container
        if "image" in document:
            container.image = text_of(document, "image")
        if "env" in document:
            env = document["env"]
            if not isinstance(env, list) or not all(isinstance(each, str) for each in env):
                raise InvalidInput("env: must be a list of texts NAME=VALUE")
            container.env[:] = env
        change_service(view.service.spec, document)
        done = await self._managers.call(
            self._control.UpdateService,
            UpdateServiceRequest(
                service=view.service.meta.id,
                version=number_of(document, "version", most=2**53)
                if "version" in document
                else view.service.meta.version,
                spec=view.service.spec,
                dry_run=document.get("dry_run") is True,
                with_moves=True,
            ),
        )
        return answer(message_document(done))

    async def control_update(self, request: web.Request) -> web.StreamResponse:
        action = _ACTIONS.get(text_of(await body_of(request), "action"))
        if action is None:
            raise InvalidInput(f"action: must be one of {', '.join(_ACTIONS)}")
        call = ManageUpdateRequest(service=request.match_info["service"], action=action)
        await self._managers.call(self._control.ManageUpdate, call)
        return answer({})

    async def roll_back(self, request: web.Request) -> web.StreamResponse:
        """To a revision; 0: the one before."""
        revision = number_of(await body_of(request), "revision", most=2**53)
        call = RollbackServiceRequest(service=request.match_info["service"], revision=revision)
        return answer(message_document(await self._managers.call(self._control.RollbackService, call)))

    async def rebalance(self, request: web.Request) -> web.StreamResponse:
        dry_run = (await body_of(request)).get("dry_run") is True
        call = RebalanceServiceRequest(service=request.match_info["service"], dry_run=dry_run)
        return answer(message_document(await self._managers.call(self._control.RebalanceService, call)))

    async def run(self, request: web.Request) -> web.StreamResponse:
        """A job, now: by its schedule's rules, or where it has none once more, as an update without a change does."""
        await body_of(request)
        call = GetServiceRequest(service=request.match_info["service"])
        service = (await self._managers.call(self._control.GetService, call)).service
        if service.spec.HasField("schedule"):
            await self._managers.call(self._control.RunJob, RunJobRequest(service=service.meta.id))
        elif service.spec.WhichOneof("mode") not in _JOBS:
            raise InvalidInput(f'service "{service.spec.name}" is not a job')
        else:
            service.spec.task.force_update += 1
            again = UpdateServiceRequest(service=service.meta.id, version=service.meta.version, spec=service.spec)
            await self._managers.call(self._control.UpdateService, again)
        return answer({})

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """The body repeats the service's name, so that nothing is removed by one wrong click."""
        name = text_of(await body_of(request), "name")
        view = await self._managers.call(
            self._control.GetService, GetServiceRequest(service=request.match_info["service"])
        )
        if name != view.service.spec.name:
            raise InvalidInput(f'name: "{name}" is not the name of this service')
        await self._managers.call(self._control.RemoveService, RemoveServiceRequest(service=view.service.meta.id))
        return answer({})
