"""Secrets and configs through the control API: versions, services that follow, removal, collection, rollback."""

from collections.abc import Sequence

import pytest

from manager.file_contents.file_kinds import CONFIGS, SECRETS
from manager.files import file_changes
from shoal.api.v1.control_pb2 import (
    CreateFileRequest,
    CreateServiceRequest,
    DeployStackRequest,
    GetFileRequest,
    GetServiceRequest,
    ListFilesRequest,
    RemoveFileRequest,
    RemoveServiceRequest,
    RemoveStackRequest,
    RollbackServiceRequest,
    StackFile,
    UpdateFileRequest,
    UpdateServiceRequest,
)
from shoal.api.v1.file_pb2 import FileReference, FileSpec
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from shoal.errors import AlreadyExists, InvalidInput, NotFound, Refused
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api
from tests.unit.manager_api.stack_requests import stack_request


def new(name: str = "pw", content: bytes = b"one") -> CreateFileRequest:
    return CreateFileRequest(spec=FileSpec(name=name), content=content)


def using(name: str, *references: FileReference) -> ServiceSpec:
    spec = spec_of(name)
    spec.task.container.secrets.extend(references)
    return spec


async def service_of(api: Api, name: str) -> Service:
    return (await api.services.get(GetServiceRequest(service=name), ADMIN)).service


async def reference_of(api: Api, name: str) -> FileReference:
    return (await service_of(api, name)).spec.task.container.secrets[0]


async def collect(api: Api) -> None:
    for file_kind in (SECRETS, CONFIGS):
        for step in list(file_changes.unused_versions(api.store, file_kind)):
            await api.store.commit(step.writes, expects=step.expects)


def versions(api: Api) -> Sequence[str]:
    return sorted(api.store.tables.secret_versions)


def test_a_secret_is_never_told_and_a_config_is() -> None:
    async def scenario(api: Api) -> None:
        secret, config = await api.secrets.create(new(), ADMIN), await api.configs.create(new(), ADMIN)
        assert secret.version != config.version
        for answer in (
            secret,
            await api.secrets.get(GetFileRequest(file="pw"), ADMIN),
            await api.secrets.list(ListFilesRequest(), ADMIN),
        ):
            assert b"one" not in answer.SerializeToString()
            assert b"sealed" not in answer.SerializeToString()
        assert (await api.configs.get(GetFileRequest(file="pw"), ADMIN)).content == b"one"
        assert not any(b"one" in each.SerializeToString() for each in api.store.tables.secret_versions.values())

    with_api(scenario)


def test_references_are_completed() -> None:
    async def scenario(api: Api) -> None:
        secret = await api.secrets.create(new(), ADMIN)
        config = await api.configs.create(new("motd"), ADMIN)
        spec = using("web", FileReference(source="pw"), FileReference(source="pw", target="sub/two"))
        spec.task.container.configs.add(source=config.meta.id[:6])
        await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        container = (await service_of(api, "web")).spec.task.container
        assert [each.target for each in container.secrets] == ["/run/secrets/pw", "/run/secrets/sub/two"]
        assert {(each.source, each.name, each.version) for each in container.secrets} == {
            (secret.meta.id, "pw", secret.version)
        }
        assert container.configs[0].target == "/motd"

    with_api(scenario)


def test_all_faults_of_references_at_once() -> None:
    async def scenario(api: Api) -> None:
        await api.secrets.create(new(), ADMIN)
        spec = using(
            "web",
            FileReference(source="pww"),
            FileReference(source="pw", target="/run/../etc/shadow"),
            FileReference(source="pw", mode=0o7777),
            FileReference(source="pw", version="00ff"),
        )
        with pytest.raises(InvalidInput) as reported:
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        text = str(reported.value)
        assert 'did you mean "pw"?' in text and '".."' in text and "mode" in text and "no version 00ff" in text
        with pytest.raises(InvalidInput, match="mounted twice"):
            spec = using("web", FileReference(source="pw"), FileReference(source="pw", target="/run/secrets/pw"))
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)

    with_api(scenario)


def test_bounds_of_contents() -> None:
    async def scenario(api: Api) -> None:
        with pytest.raises(InvalidInput) as reported:
            await api.secrets.create(new("Bad Name", b"x" * (500 * 1024 + 1)), ADMIN)
        assert {fault.path for fault in reported.value.faults} == {"name", "content"}
        await api.secrets.create(new("large", b"x" * (500 * 1024)), ADMIN)
        with pytest.raises(InvalidInput, match="must not be empty"):
            await api.secrets.create(new("none", b""), ADMIN)
        with pytest.raises(AlreadyExists):
            await api.secrets.create(new("large", b"y"), ADMIN)

    with_api(scenario)


def test_an_update_rolls_those_that_follow() -> None:
    async def scenario(api: Api) -> None:
        first = await api.secrets.create(new(), ADMIN)
        pin = FileReference(source="pw", policy=FileReference.PIN)
        for spec in (using("follows", FileReference(source="pw")), using("pinned", pin), spec_of("other")):
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        answer = await api.secrets.update(UpdateFileRequest(file="pw", content=b"two"), ADMIN)
        assert answer.services == ["follows"]
        assert (await reference_of(api, "follows")).version == answer.file.version != first.version
        assert (await service_of(api, "follows")).task_revision == 2
        assert (await reference_of(api, "pinned")).version == first.version
        assert (await service_of(api, "pinned")).revision == (await service_of(api, "other")).revision == 1
        again = await api.secrets.update(UpdateFileRequest(file="pw", content=b"two"), ADMIN)
        assert not again.services and again.file.version == answer.file.version
        back = await api.secrets.update(UpdateFileRequest(file="pw", content=b"one"), ADMIN)
        assert back.file.version == first.version and back.services == ["follows"], "the same content, the same version"

    with_api(scenario)


def test_labels_alone_roll_nothing() -> None:
    async def scenario(api: Api) -> None:
        first = await api.secrets.create(new(), ADMIN)
        await api.services.create(CreateServiceRequest(spec=using("web", FileReference(source="pw"))), ADMIN)
        answer = await api.secrets.update(UpdateFileRequest(file="pw", labels_add={"team": "db"}), ADMIN)
        assert answer.file.spec.labels == {"team": "db"} and answer.file.version == first.version
        assert not answer.services and (await service_of(api, "web")).revision == 1

    with_api(scenario)


def test_a_rollback_brings_the_earlier_version_back() -> None:
    async def scenario(api: Api) -> None:
        first = await api.secrets.create(new(), ADMIN)
        await api.services.create(CreateServiceRequest(spec=using("web", FileReference(source="pw"))), ADMIN)
        second = (await api.secrets.update(UpdateFileRequest(file="pw", content=b"two"), ADMIN)).file
        await collect(api)
        await api.services.rollback(RollbackServiceRequest(service="web"), ADMIN)
        assert (await reference_of(api, "web")).version == first.version
        service = await service_of(api, "web")
        service.spec.labels["a"] = "b"
        request = UpdateServiceRequest(service="web", version=service.meta.version, spec=service.spec)
        await api.services.update(request, ADMIN)
        assert (await reference_of(api, "web")).version == first.version, "another change does not move it"
        answer = await api.secrets.update(UpdateFileRequest(file="pw", content=b"two"), ADMIN)
        assert answer.services == ["web"] and (await reference_of(api, "web")).version == second.version

    with_api(scenario)


def test_removal_names_the_users_and_unused_versions_are_collected() -> None:
    async def scenario(api: Api) -> None:
        await api.secrets.create(new(), ADMIN)
        await api.secrets.update(UpdateFileRequest(file="pw", content=b"two"), ADMIN)
        assert len(versions(api)) == 2
        await collect(api)
        assert len(versions(api)) == 1, "nothing named the first"
        created = await api.services.create(CreateServiceRequest(spec=using("web", FileReference(source="pw"))), ADMIN)
        await api.secrets.update(UpdateFileRequest(file="pw", content=b"three"), ADMIN)
        await collect(api)
        assert len(versions(api)) == 2, "revision 1 names the one before"
        with pytest.raises(Refused, match="in use by web"):
            await api.secrets.remove(RemoveFileRequest(file="pw"), ADMIN)
        await api.services.remove(RemoveServiceRequest(service=created.service.meta.id), ADMIN)
        await api.secrets.remove(RemoveFileRequest(file="pw"), ADMIN)
        assert not versions(api) and not api.store.tables.secrets
        with pytest.raises(NotFound):
            await api.secrets.get(GetFileRequest(file="pw"), ADMIN)
        await api.secrets.create(new(), ADMIN)

    with_api(scenario)


def test_stacks_bring_their_files() -> None:
    def request(content: bytes, prune: bool = False) -> DeployStackRequest:
        spec = using("web", FileReference(source="shop_pw", target="pw"))
        file = StackFile(spec=FileSpec(name="shop_pw", stack="shop"), content=content)
        return stack_request("shop", services=[spec], secrets=[file], prune=prune)

    async def scenario(api: Api) -> None:
        first = await api.stacks.deploy(request(b"one"), ADMIN)
        assert [(each.kind, each.action) for each in first.changes] == [("secret", "create"), ("service", "create")]
        await api.services.create(CreateServiceRequest(spec=using("outside", FileReference(source="shop_pw"))), ADMIN)
        second = await api.stacks.deploy(request(b"two"), ADMIN)
        assert [(each.name, each.action) for each in second.changes] == [
            ("shop_pw", "update"),
            ("shop_web", "update"),
            ("outside", "update"),
        ]
        newest = (await api.secrets.get(GetFileRequest(file="shop_pw"), ADMIN)).version
        assert (await reference_of(api, "shop_web")).version == (await reference_of(api, "outside")).version == newest
        with pytest.raises(Refused, match="outside"):
            await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)
        await api.services.remove(RemoveServiceRequest(service="outside"), ADMIN)
        bare = stack_request("shop", services=[spec_of("web")], prune=True)
        gone = await api.stacks.deploy(bare, ADMIN)
        assert [(each.kind, each.action) for each in gone.changes] == [("service", "update"), ("secret", "remove")]

    with_api(scenario)


def test_faults_of_a_stack_name_the_file() -> None:
    async def scenario(api: Api) -> None:
        file = StackFile(spec=FileSpec(name="pw"), content=b"")
        with pytest.raises(InvalidInput, match=r"secrets\.shop_pw\.content: must not be empty"):
            await api.stacks.deploy(stack_request("shop", services=[spec_of("web")], secrets=[file]), ADMIN)

    with_api(scenario)


def test_a_template_is_checked_and_references_say_that_it_is_one() -> None:
    async def scenario(api: Api) -> None:
        template = FileSpec(name="motd", template=True)
        for content, fault in ((b"{{.Node.Nothing}}", "unknown"), (b"{{.Task.Slot", "unclosed"), (b"\xff", "UTF-8")):
            with pytest.raises(InvalidInput, match=fault) as caught:
                await api.configs.create(CreateFileRequest(spec=template, content=content), ADMIN)
            assert "Nothing" not in str(caught.value)
        await api.configs.create(CreateFileRequest(spec=template, content=b"{{.Task.Slot}}"), ADMIN)
        await api.configs.create(new("plain", b"{{not a template"), ADMIN)
        with pytest.raises(InvalidInput, match="unknown"):
            await api.configs.update(UpdateFileRequest(file="motd", content=b"{{.X}}"), ADMIN)
        spec = spec_of("web")
        for name in ("motd", "plain"):
            spec.task.container.configs.add(source=name)
        await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        configs = (await service_of(api, "web")).spec.task.container.configs
        assert [each.template for each in configs] == [True, False]

    with_api(scenario)
