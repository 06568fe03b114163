"""Docker's variables of links."""

from agent.worker.startup.link_variables import link_variables
from shoal.api.v1.container_pb2 import ContainerLink


def test_variables_say_where_the_other_container_is_and_what_it_was_given() -> None:
    link = ContainerLink(
        container_id="db", names=["my-store", "db"], env=["FOO=1", "A=b=c"], ports=["5433/udp", "5432/tcp"]
    )
    found = link_variables("web", [link], {"db": "172.30.0.2"}.__getitem__)
    assert [*found] == [
        "MY_STORE_PORT=tcp://172.30.0.2:5432",
        "MY_STORE_PORT_5432_TCP=tcp://172.30.0.2:5432",
        "MY_STORE_PORT_5432_TCP_ADDR=172.30.0.2",
        "MY_STORE_PORT_5432_TCP_PORT=5432",
        "MY_STORE_PORT_5432_TCP_PROTO=tcp",
        "MY_STORE_PORT_5433_UDP=udp://172.30.0.2:5433",
        "MY_STORE_PORT_5433_UDP_ADDR=172.30.0.2",
        "MY_STORE_PORT_5433_UDP_PORT=5433",
        "MY_STORE_PORT_5433_UDP_PROTO=udp",
        "MY_STORE_NAME=/web/my-store",
        "MY_STORE_ENV_FOO=1",
        "MY_STORE_ENV_A=b=c",
    ]


def test_one_that_does_not_run_or_is_a_name_alone_has_none() -> None:
    links = [ContainerLink(container_id="db", names=["db"]), ContainerLink(target="cache", names=["c"])]
    assert [*link_variables("web", links, lambda _: "")] == []
    assert [*link_variables("web", links[1:], lambda _: "172.30.0.9")] == []
    assert [*link_variables("web", links[:1], lambda _: "172.30.0.9")] == ["DB_NAME=/web/db"]
