"""Volumes name secrets for their drivers: what may be named, what that keeps from being removed, and in stacks."""

import pytest

from manager.store import kinds
from shoal.api.v1.control_pb2 import (
    CreateFileRequest,
    CreateVolumeRequest,
    DeployStackRequest,
    GetFileRequest,
    GetVolumeRequest,
    ListFilesRequest,
    RemoveFileRequest,
    RemoveStackRequest,
    RemoveVolumeRequest,
    StackFile,
)
from shoal.api.v1.file_pb2 import FileSpec
from shoal.api.v1.volume_pb2 import VolumeSecret, VolumeSpec
from shoal.errors import InvalidInput, Refused
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api
from tests.unit.manager_api.stack_requests import stack_request
from tests.unit.manager_api.volumes.test_volume_drivers import driven, give_driver
from tests.unit.manager_api.volumes.test_volume_handler import volumes_of


def password(source: str = "pw", key: str = "password") -> VolumeSecret:
    return VolumeSecret(key=key, source=source)


async def make_secret(api: Api, name: str = "pw", content: bytes = b"t0pSecret") -> str:
    answer = await api.secrets.create(CreateFileRequest(spec=FileSpec(name=name), content=content), ADMIN)
    return answer.meta.id


def test_a_volume_names_secrets_and_they_cannot_be_removed_while_it_does() -> None:
    async def scenario(api: Api) -> None:
        await give_driver(api)
        secret = await make_secret(api)
        made = await volumes_of(api).create(driven(secrets=[password(), password(secret, "again")]), ADMIN)
        shown = [(each.key, each.source, each.name) for each in made.volume.spec.secrets]
        assert shown == [("again", secret, "pw"), ("password", secret, "pw")]
        assert (
            b"t0pSecret" not in (await volumes_of(api).get(GetVolumeRequest(volume="data"), ADMIN)).SerializeToString()
        )
        with pytest.raises(Refused, match='secret "pw" is in use by volume data; remove'):
            await api.secrets.remove(RemoveFileRequest(file="pw"), ADMIN)
        assert list((await api.secrets.get(GetFileRequest(file="pw"), ADMIN)).volumes) == ["data"]
        assert [list(each.volumes) for each in (await api.secrets.list(ListFilesRequest(), ADMIN)).files] == [["data"]]
        await volumes_of(api).remove(RemoveVolumeRequest(volume="data"), ADMIN)
        with pytest.raises(Refused):  # its driver is still to be asked to delete it
            await api.secrets.remove(RemoveFileRequest(file="pw"), ADMIN)

    with_api(scenario)


def test_what_cannot_be_named_is_told_all_at_once() -> None:
    async def scenario(api: Api) -> None:
        await give_driver(api)
        await make_secret(api)
        odd = [password("pww"), password("pw", ""), password("pw", "twice"), password("pw", "twice")]
        with pytest.raises(InvalidInput) as reported:
            await volumes_of(api).create(driven(secrets=odd), ADMIN)
        found = {fault.path: fault.message for fault in reported.value.faults}
        assert found.keys() == {"secrets.password", "secrets.", "secrets.twice"}
        assert 'did you mean "pw"?' in found["secrets.password"]
        with pytest.raises(InvalidInput, match="has 17 secrets; the maximum is 16"):
            await volumes_of(api).create(driven(secrets=[password("pw", f"k{number}") for number in range(17)]), ADMIN)
        with pytest.raises(InvalidInput, match="not supported by the local driver"):
            local = VolumeSpec(name="data", secrets=[password()])
            await volumes_of(api).create(CreateVolumeRequest(spec=local), ADMIN)

    with_api(scenario)


def test_a_removal_that_has_not_seen_the_volume_fails() -> None:
    async def scenario(api: Api) -> None:
        await give_driver(api)
        await make_secret(api)
        before = api.store.version_of(kinds.NAME, "secret/pw")
        await volumes_of(api).create(driven(secrets=[password()]), ADMIN)
        assert api.store.version_of(kinds.NAME, "secret/pw") != before, "which a removal expects to find"

    with_api(scenario)


def stack(content: bytes, *, secrets: bool = True, volumes: bool = True, prune: bool = False) -> DeployStackRequest:
    sent = StackFile(spec=FileSpec(name="pw"), content=content)
    volume = VolumeSpec(name="data", driver="d", secrets=[password("shop_pw")])
    return stack_request(
        "shop",
        secrets=[sent] if secrets else [],
        volumes=[volume] if volumes else [],
        services=[spec_of("web")],
        prune=prune,
    )


def test_a_stack_brings_both_and_its_removal_leaves_the_secret_with_the_volume() -> None:
    async def scenario(api: Api) -> None:
        await give_driver(api)
        first = await api.stacks.deploy(stack(b"one"), ADMIN)
        assert {(each.kind, each.action) for each in first.changes} >= {("secret", "create"), ("volume", "create")}
        (volume,) = api.store.tables.volumes.values()
        assert [each.name for each in volume.spec.secrets] == ["shop_pw"]
        again = {each.kind: each.action for each in (await api.stacks.deploy(stack(b"two"), ADMIN)).changes}
        assert (again["secret"], again["volume"]) == ("update", "unchanged")
        await api.stacks.deploy(stack(b"", secrets=False, volumes=False, prune=True), ADMIN)
        await api.stacks.remove(RemoveStackRequest(stack="shop"), ADMIN)
        assert [each.spec.name for each in api.store.tables.secrets.values()] == ["shop_pw"]
        other = stack(b"two")
        other.volumes[0].secrets[0].key = "token"
        with pytest.raises(InvalidInput) as reported:
            await api.stacks.deploy(other, ADMIN)
        assert [fault.path for fault in reported.value.faults] == ["volumes.shop_data.secrets"]

    with_api(scenario)


def test_a_stack_whose_volume_names_what_is_not_there_is_refused_by_its_place() -> None:
    async def scenario(api: Api) -> None:
        await give_driver(api)
        with pytest.raises(InvalidInput) as reported:
            await api.stacks.deploy(stack(b"", secrets=False), ADMIN)
        assert [fault.path for fault in reported.value.faults] == ["volumes.shop_data.secrets.password"]

    with_api(scenario)
