"""Images are listed and filtered; those that only services use too."""

import pytest

from manager.images.filter_moments import moment_ms
from manager.store import kinds
from manager.store.changes import put
from shoal.api.v1.control_pb2 import CreateServiceRequest
from shoal.api.v1.engine_pb2 import (
    ListImagesRequest,
)
from shoal.api.v1.standalone_pb2 import NodeImages
from shoal.distribution.digests import digest_of
from shoal.errors import InvalidInput, NotFound
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api
from tests.unit.manager_api.images.image_handler_rig import Rig


def test_listings_are_filtered_as_docker_does() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        await rig.set("nginx:1", "a", labels={"tier": "web"}, created="2026-01-01T00:00:00.123456789Z")
        await rig.set("team/app:2", "b", created="2026-02-01T00:00:00Z")
        assert await rig.names("label=tier=web") == [["docker.io/library/nginx:1"]]
        assert await rig.names("reference=nginx") == [["docker.io/library/nginx:1"]]
        assert await rig.names("reference=ngin*:*") == [["docker.io/library/nginx:1"]]
        assert await rig.names("reference=*") == [["docker.io/library/nginx:1"]]
        assert await rig.names("since=nginx:1") == [["docker.io/library/team/app:2"]]
        assert await rig.names("before=library/team/app:2") == [["docker.io/library/nginx:1"]]
        assert await rig.names("until=2026-01-15T00:00:00Z") == [["docker.io/library/nginx:1"]]
        with pytest.raises(InvalidInput):
            await rig.names("dangling=perhaps")
        with pytest.raises(NotFound):
            await rig.names("since=absent")

    with_api(scenario)


def test_images_of_services_are_listed_by_digest() -> None:
    async def scenario(api: Api) -> None:
        rig = Rig(api)
        image = await rig.set("web:1", "a")
        other = digest_of(b"elsewhere")
        held = NodeImages(node_id="node1", digests=[image.digest, other, digest_of(b"removed")])
        await api.store.commit([put(kinds.NODE_IMAGES, "node1", held)])
        spec = spec_of("db", image=f"registry:5000/db:1@{other}")
        await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        found = (await rig.handler.list(ListImagesRequest(), ADMIN)).images
        assert [(list(each.names), list(each.node_ids)) for each in found] == [
            (["docker.io/library/web:1"], ["node1"]),
            ([f"registry:5000/db@{other}"], ["node1"]),
        ]

    with_api(scenario)


def test_moments_of_filters() -> None:
    assert moment_ms("10m", 1_000_000) == 400_000
    assert moment_ms("5", 0) == 5000
    assert moment_ms("1970-01-01T00:00:01", 0) == 1000
    with pytest.raises(InvalidInput, match="must be a duration"):
        moment_ms("soon", 0)
