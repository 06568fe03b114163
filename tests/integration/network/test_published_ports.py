"""Ports of a node that lead to its containers: from outside, from the host, from other containers."""

import socket

import pytest

from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import TaskPort
from shoal.errors import Refused
from tests.integration.network.netns_hosts import (
    Hosts,
    endpoint,
    inside,
    network,
    refused,
    task,
    tcp_echo,
    tcp_exchange,
)

HTTP = TaskPort(protocol=PublishedPort.TCP, target=80, published=8080)


def test_a_published_port_answers_everywhere_and_shows_the_clients_address(hosts: Hosts) -> None:
    hosts.start()
    web, other, remote = endpoint(1, hosts.one, 1), endpoint(2, hosts.one, 2), endpoint(3, hosts.two, 2)
    hosts.apply([network(1), network(2)], [web, other, remote])
    inner = hosts.attach(hosts.one, task(web, HTTP)).netns_fd
    near = hosts.attach(hosts.one, task(other)).netns_fd
    far = hosts.attach(hosts.two, task(remote)).netns_fd

    with tcp_echo(inner, 80) as clients:
        for client_ns, address in (
            (hosts.client, "172.31.0.1"),
            (hosts.one.descriptor, "172.31.0.1"),
            (hosts.one.descriptor, "127.0.0.1"),
            (near, "172.31.0.1"),
            (far, "172.31.0.1"),
            (inner, "172.31.0.1"),
        ):
            assert tcp_exchange(client_ns, address, 8080) == b"hello"
        assert refused(hosts.two.descriptor, "172.31.0.2", 8080)
    assert clients == ["172.31.0.100", "172.31.0.1", "169.254.1.1", "10.99.2.2", "172.31.0.2", "169.254.1.1"]


def test_a_withdrawn_port_takes_nobody_new_keeps_who_is_there_and_stays_held(hosts: Hosts) -> None:
    hosts.start()
    hosts.apply([network(1)], [web := endpoint(1, hosts.one, 1), other := endpoint(2, hosts.one, 1)])
    inner = hosts.attach(hosts.one, task(web, HTTP)).netns_fd
    with tcp_echo(inner, 80), inside(hosts.client), socket.create_connection(("172.31.0.1", 8080), 2) as kept:
        for _ in range(2):
            hosts.one.call(hosts.one.network.withdraw(web.task_id))
            assert refused(hosts.client, "172.31.0.1", 8080) and refused(hosts.one.descriptor, "127.0.0.1", 8080)
            assert not hosts.one.call(hosts.one.network.reconcile())
            kept.sendall(b"again")
            assert kept.recv(100) == b"again"
        with pytest.raises(Refused, match="in use"):
            hosts.attach(hosts.one, task(other, HTTP))
        kept.close()
    hosts.one.call(hosts.one.network.detach(web.task_id))
    with tcp_echo(hosts.attach(hosts.one, task(other, HTTP)).netns_fd, 80):
        assert tcp_exchange(hosts.client, "172.31.0.1", 8080) == b"hello"


def test_a_port_of_one_host_address_answers_there_only(hosts: Hosts) -> None:
    hosts.start()
    hosts.apply([network(1)], [web := endpoint(1, hosts.one, 1)])
    local = TaskPort(protocol=PublishedPort.TCP, target=80, published=8080, host_address="127.0.0.1")
    with tcp_echo(hosts.attach(hosts.one, task(web, local)).netns_fd, 80):
        assert tcp_exchange(hosts.one.descriptor, "127.0.0.1", 8080) == b"hello"
        assert refused(hosts.one.descriptor, "172.31.0.1", 8080)
        assert refused(hosts.client, "172.31.0.1", 8080)


def test_udp_is_published_too(hosts: Hosts) -> None:
    hosts.start()
    hosts.apply([network(1)], [web := endpoint(1, hosts.one, 1)])
    datagrams = TaskPort(protocol=PublishedPort.UDP, target=5000, published=53)
    with inside(hosts.attach(hosts.one, task(web, datagrams)).netns_fd):
        receiver = socket.socket(type=socket.SOCK_DGRAM)
    with inside(hosts.client):
        sender = socket.socket(type=socket.SOCK_DGRAM)
    with receiver, sender:
        for each in (receiver, sender):
            each.settimeout(2)
        receiver.bind(("", 5000))
        sender.sendto(b"question", ("172.31.0.1", 53))
        data, client = receiver.recvfrom(100)
        receiver.sendto(b"answer", client)
        assert (data, client[0]) == (b"question", "172.31.0.100")
        assert sender.recvfrom(100) == (b"answer", ("172.31.0.1", 53))


def test_a_port_that_is_taken_is_refused_by_name_and_leaves_nothing(hosts: Hosts) -> None:
    hosts.start()
    first, second = endpoint(1, hosts.one, 1), endpoint(2, hosts.one, 1)
    hosts.apply([network(1)], [first, second])
    with inside(hosts.one.descriptor):
        listener = socket.create_server(("", 8080))
    with listener, pytest.raises(Refused, match="tcp port 8080 is already in use on this host"):
        hosts.attach(hosts.one, task(first, HTTP))

    hosts.attach(hosts.one, task(first, HTTP))
    with pytest.raises(Refused, match="8080"):
        hosts.attach(hosts.one, task(second, HTTP))
    absent = TaskPort(protocol=PublishedPort.TCP, target=80, published=81, host_address="172.31.0.99")
    with pytest.raises(Refused, match=r"does not have that address"):
        hosts.attach(hosts.one, task(second, absent))
    assert "10.99.1.2 " not in hosts.one.nft("list table inet shoal")


def test_detaching_frees_the_port_for_the_next_task(hosts: Hosts) -> None:
    hosts.start()
    first, second = endpoint(1, hosts.one, 1), endpoint(2, hosts.one, 1)
    hosts.apply([network(1)], [first, second])
    hosts.attach(hosts.one, task(first, HTTP))
    hosts.one.call(hosts.one.network.detach(first.task_id))
    hosts.one.call(hosts.one.network.detach(first.task_id))
    assert refused(hosts.client, "172.31.0.1", 8080)
    with tcp_echo(hosts.attach(hosts.one, task(second, HTTP)).netns_fd, 80):
        assert tcp_exchange(hosts.client, "172.31.0.1", 8080) == b"hello"
