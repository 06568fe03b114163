"""Revisions of services: what makes one, which of them stay, and what goes back to one."""

import pytest

from manager.validation import bounds
from shoal.api.v1.control_pb2 import (
    RollbackServiceRequest,
    ScaleServicesRequest,
)
from shoal.distribution.manifests import Platform
from shoal.errors import InvalidInput, NotFound
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api
from tests.unit.manager_api.services.service_calls import changed, create, update

Target = ScaleServicesRequest.Target


def test_what_makes_new_tasks_and_what_only_a_revision() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of())
        same = await update(api, service, changed(service))
        assert same.revision == 1
        spec = changed(service)
        spec.labels["a"] = "b"
        spec.task.placement.constraints.append("node.labels.disk == ssd")
        spec.task.restart.max_attempts = 3
        spec.task.limits.SetInParent()
        labelled = await update(api, service, spec)
        assert (labelled.revision, labelled.task_revision) == (2, 1)
        spec = changed(labelled)
        spec.task.container.env.append("A=1")
        other = await update(api, labelled, spec)
        assert (other.revision, other.task_revision) == (3, 3)
        back = await api.services.rollback(RollbackServiceRequest(service="web"), ADMIN)
        assert (back.service.revision, back.service.task_revision) == (4, 4)
        assert back.service.spec == labelled.spec
        with pytest.raises(NotFound, match="no revision 9"):
            await api.services.rollback(RollbackServiceRequest(service="web", revision=9), ADMIN)

    with_api(scenario)


def test_a_rollback_knows_what_platforms_the_earlier_image_is_for() -> None:
    async def scenario(api: Api) -> None:
        api.images.platforms = (Platform("linux", "arm64", ""),)
        await create(api, spec_of())
        service = api.store.tables.service_named("web")
        assert service is not None
        api.images.platforms = (Platform("linux", "amd64", ""),)
        requested = changed(service)
        requested.task.container.image = "registry:5000/hello:2"
        await update(api, service, requested)
        back = await api.services.rollback(RollbackServiceRequest(service="web"), ADMIN)
        assert [each.architecture for each in back.service.spec.task.placement.platforms] == ["arm64"]

    with_api(scenario)


def test_scaling_is_all_or_none() -> None:
    async def scenario(api: Api) -> None:
        for name in ("one", "two"):
            await create(api, spec_of(name))
        targets = [Target(service="one", replicas=7), Target(service="two", replicas=2_000_000)]
        with pytest.raises(InvalidInput):
            await api.services.scale(ScaleServicesRequest(targets=targets), ADMIN)
        with pytest.raises(NotFound, match='did you mean "two"'):
            await api.services.scale(ScaleServicesRequest(targets=[targets[0], Target(service="twoo")]), ADMIN)
        targets[1].replicas = 9
        answer = await api.services.scale(ScaleServicesRequest(targets=targets), ADMIN)
        assert [each.spec.replicated.replicas for each in answer.services] == [7, 9]
        tables = api.store.tables
        assert [tables.services[each.meta.id] for each in answer.services] == list(answer.services)

    with_api(scenario)


def test_old_revisions_go_but_those_in_use_stay() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of())
        await api.put_task("t1", service.meta.id, revision=2)
        for number in range(20):
            spec = changed(service)
            spec.labels["n"] = str(number)
            service = await update(api, service, spec)
        kept = sorted(int(key.partition("/")[2]) for key in api.store.tables.revisions)
        assert kept == [1, 2, *range(21 - bounds.REVISIONS_KEPT + 1, 22)]

    with_api(scenario)


def test_scaling_pushes_no_revision_out_that_ran_something_else() -> None:
    async def scenario(api: Api) -> None:
        service = await create(api, spec_of())
        for number in range(14):
            spec = changed(service)
            spec.task.container.env.append(f"N={number}")
            service = await update(api, service, spec)
            for _ in range(12):
                spec = changed(service)
                spec.replicated.replicas = 3 - spec.replicated.replicas % 2
                service = await update(api, service, spec)
        tables = api.store.tables
        ran = {len(revision.spec.task.container.env) for revision in tables.revisions.values()}
        assert ran == set(range(5, 15))
        assert len(tables.revisions) <= 2 * bounds.REVISIONS_KEPT + 1
        oldest = min(revision.number for revision in tables.revisions.values())
        answer = await api.services.rollback(RollbackServiceRequest(service=service.meta.id, revision=oldest), ADMIN)
        assert len(answer.service.spec.task.container.env) == 5

    with_api(scenario)
