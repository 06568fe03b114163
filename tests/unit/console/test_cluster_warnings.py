"""What pages are told of managers, etcd and backups."""

from console.handlers.warning_handlers import cluster_warnings
from shoal.api.v1.control_pb2 import ListManagersResponse, StoreView
from tests.unit.console.console_rig import Browser, FakeManagers
from tests.unit.console.test_handlers import with_browser

DOWN = "manager m2 (10.0.0.2:7440) is down: start it again, or remove it with `shoal manager rm m2`"


def managers() -> ListManagersResponse:
    found = ListManagersResponse()
    for number in (1, 2):
        view = found.managers.add(alive=number == 1)
        view.manager.id, view.manager.api_address = f"m{number}", f"10.0.0.{number}:7440"
    return found


def store() -> StoreView:
    found = StoreView()
    found.members.add(endpoint="10.0.0.1:7443", version="3.5.16", problem="is out of space")
    found.members.add(endpoint="10.0.0.2:7443", problem="does not respond")
    return found


def test_what_concerns_all_comes_first_and_a_lost_manager_is_said_once() -> None:
    found = managers()
    found.warning, found.backup_problem = "2 managers tolerate 0 failures", "no backup for 2 days"
    found.managers[0].membership.problem = "its etcd has another address"
    assert cluster_warnings(found, store()) == [
        "2 managers tolerate 0 failures",
        "no backup for 2 days",
        "manager m1 (10.0.0.1:7440): its etcd has another address",
        DOWN,
        "etcd 10.0.0.1:7443: is out of space",
    ]
    assert cluster_warnings(ListManagersResponse(), StoreView()) == []


def test_a_manager_that_is_disconnected_from_etcd_says_since_when_and_nothing_of_others() -> None:
    fake = FakeManagers({"ListManagers": managers(), "GetStore": store()})

    async def scenario(page: Browser) -> None:
        found = await (await page.get("/api/cluster-warnings")).json()
        assert found == {"warnings": [DOWN, "etcd 10.0.0.1:7443: is out of space"], "staleSince": 0}
        fake.stale_since_ms = 5_000
        found = await (await page.get("/api/cluster-warnings")).json()
        assert found == {"warnings": [], "staleSince": 5_000}

    with_browser(fake, scenario)
