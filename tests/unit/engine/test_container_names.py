"""Names of containers as Docker's clients see them."""

from engine.protocol.versions import NEWEST
from engine.translate.containers.container_facts import Surroundings, given_name
from engine.translate.containers.container_list import list_row
from shoal.api.v1.engine_pb2 import ContainerView


def view_of(name: str, *, container_name: str = "", own: str = "") -> ContainerView:
    view = ContainerView()
    view.container.meta.id, view.container.name = own, name
    view.container.definition.task.container.name = container_name
    return view


def names(view: ContainerView) -> list[str]:
    return [*list_row(view, NEWEST, Surroundings({}, {}, {}), now_ms=0)["Names"]]


def test_the_one_task_of_a_service_has_the_name_that_its_file_gives() -> None:
    assert names(view_of("shop_db.1.abc", container_name="db")) == ["/db", "/shop_db.1.abc"]
    assert names(view_of("shop_db.1.abc")) == ["/shop_db.1.abc"]
    assert given_name(view_of("web", own="0123456789abc", container_name="other")) == ""
