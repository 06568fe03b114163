"""Encrypted networks by IPsec ESP: of nodes configured to use it, and between one that is and one that is not."""

import json
import re
import subprocess
import time
from pathlib import Path

from tests.vm.checking import Check
from tests.vm.cluster import (
    HELLO,
    HOSTS,
    LAYOUT,
    http,
    in_host,
    in_task,
    reaches,
    restart_agent,
    shoal,
    underlay,
    until,
)
from tests.vm.encryption import (
    BODY,
    REPAIR_SECONDS,
    captured,
    description,
    find_tasks_again,
    generations,
    pids_by_host,
    traffic,
    vault,
)

ESP_MTU = 1500 - 84
UNDERLAY = Path("/tmp/underlay")
SECRET = "5ea1ed5ea1ed"


def restart(host: str, choice: str, *, kill: bool = False) -> None:
    """With another choice of what to encrypt by."""
    restart_agent(LAYOUT.host(int(host[1:])), kill=kill, SHOAL_AGENT_OVERLAY_ENCRYPTION=choice)


def features(host: str) -> list[str]:
    return list(description(host).get("features", []))


def associations(host: str) -> set[str]:
    """The numbers of ours."""
    return set(re.findall(r"proto esp spi (0x[0-9a-f]+) reqid 1399324672", in_host(host, "ip", "xfrm", "state"))) | set(
        re.findall(r"proto esp spi (0x[0-9a-f]+) reqid 1399324673", in_host(host, "ip", "xfrm", "state"))
    )


def public_keys(host: str) -> list[str]:
    return [key["public_key"] for key in description(host).get("overlay_keys", [])]


def leads_by(device: str, host: str) -> bool:
    other = vault()["h2" if host == "h1" else "h1"][1]
    return device in in_host(host, "ip", "route", "get", other)


def address6(pid: int) -> str:
    shown = in_task(pid, "ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "global")
    return shown.split()[3].partition("/")[0]


def check_configured_nodes_use_esp() -> None:
    for host in HOSTS:
        assert sorted(features(host)) == ["esp", "wireguard"], description(host)
        restart(host, "esp")
    for host in HOSTS:
        until(lambda host=host: features(host) == ["esp"], f"{host} has ESP alone")  # type: ignore[misc]
        assert "esp" not in in_host(host, "ip", "xfrm", "state"), "what was tried is left"


def check_esp_beside_plain() -> None:
    vault.cache_clear()
    shoal("network", "create", "--ipv6", "--opt", "encrypted", "bank")
    shoal("network", "create", "street")
    for name, network in (("vault", "bank"), ("shop", "street")):
        shoal(
            *("service", "create", "--name", name, "--mode", "global", "--network", network),
            *("--publish", f"mode=host,target=80,published={8300 + len(name)}", f"{HELLO}:1"),
        )
    assert sorted(vault()) == list(HOSTS)
    for service in ("vault", "shop"):
        tasks = pids_by_host(service)
        until(lambda tasks=tasks: reaches(tasks["h1"][0], tasks["h2"][1]), f"{service} reaches the other node")  # type: ignore[misc]
        assert BODY.decode() in http(tasks["h1"][0], tasks["h2"][1])
    for host in HOSTS:
        assert generations(host) == [1]
        assert len(associations(host)) == 2
        assert leads_by("shoal-es1", host)


def check_esp_shows_nothing_on_the_underlay() -> None:
    tasks = vault()
    with captured(UNDERLAY):
        assert BODY.decode() in http(tasks["h1"][0], tasks["h2"][1])
        ping = ("ping", "-c1", "-W5", "-s", "600", "-p", SECRET, address6(tasks["h2"][0]))
        assert "0% packet loss" in in_task(tasks["h1"][0], *ping)
    data = UNDERLAY.read_bytes()
    assert len(data) > 2000
    assert BODY not in data
    assert bytes.fromhex(SECRET) * 4 not in data
    assert bytes(map(int, tasks["h2"][1].split("."))) not in data, "the containers' own addresses"


def check_esp_keys_lie_in_memory_alone() -> None:
    for host in HOSTS:
        files = [*Path("/run").glob("**/keys/*.json"), *LAYOUT.state.glob("**/keys/*.json")]
        assert files, "no keys anywhere"
        for file in files:
            assert file.stat().st_mode & 0o077 == 0
            kind = subprocess.run(["stat", "-f", "-c", "%T", file], capture_output=True, text=True, check=True).stdout
            assert kind.strip() == "tmpfs", f"{file}: {kind}"
            private = json.loads(file.read_text())["private"]
            found = subprocess.run(
                ["grep", "-rlaF", "--exclude-dir=keys", private, LAYOUT.state],
                capture_output=True,
                text=True,
                check=False,
            )
            assert not found.stdout, found.stdout
        assert len(public_keys(host)) == 1


def check_esp_mtu() -> None:
    (pid, _), (other, address) = vault()["h1"], vault()["h2"]
    assert f"mtu {ESP_MTU}" in in_task(pid, "ip", "route", "get", address)
    for target, headers in ((address, 28), (address6(other), 48)):
        largest = ESP_MTU - headers
        assert "0% packet loss" in in_task(pid, "ping", "-M", "do", "-c1", "-W5", "-s", str(largest), target)
        too_big = in_task(pid, "ping", "-M", "do", "-c1", "-W2", "-s", str(largest + 1), target, check=False)
        assert f"mtu={ESP_MTU}" in too_big or "too long" in too_big, too_big


def check_esp_keys_change_under_traffic_without_loss() -> None:
    with traffic() as result:
        time.sleep(2)
        shoal("cluster", "rotate-network-keys")
        until(lambda: all(2 in generations(host) for host in HOSTS), "new keys everywhere")
        until(lambda: all(leads_by("shoal-es0", host) for host in HOSTS), "routes by the new tunnel")
        until(lambda: all(generations(host) == [2] for host in HOSTS), "older keys are gone")
    assert result["lost"] == 0 and result["connection_is_whole"], result
    for host in HOSTS:
        assert len(associations(host)) == 2
        assert "shoal-es1" not in in_host(host, "ip", "link")


def check_agent_with_esp_comes_back_without_loss() -> None:
    with traffic() as result:
        before = associations("h1"), public_keys("h1")
        restart("h1", "esp", kill=True)
        time.sleep(5)
        assert (associations("h1"), public_keys("h1")) == before
    assert result["lost"] == 0 and result["connection_is_whole"], result
    find_tasks_again()


def check_esp_fails_closed() -> None:
    """Whatever of it is taken away, nothing leaves in clear, and nothing in clear comes in."""
    (pid, _), (_, address) = vault()["h1"], vault()["h2"]
    inner = bytes(map(int, address.split(".")))
    with captured(UNDERLAY):
        in_host("h1", "ip", "xfrm", "policy", "flush")
        in_task(pid, "busybox", "ping", "-c2", "-W1", address, check=False)
    assert inner not in UNDERLAY.read_bytes(), "the rules let clear packets out"
    until(lambda: reaches(pid, address), "the policies are back", REPAIR_SECONDS)
    in_host("h1", "nft", "delete table inet shoal")
    in_host("h1", "ip", "xfrm", "policy", "flush")
    with captured(UNDERLAY):
        assert not reaches(pid, address), "the other side lets clear packets in"
    assert inner in UNDERLAY.read_bytes(), "nothing was sent in clear, so nothing is proven"
    until(lambda: reaches(pid, address), "repaired", REPAIR_SECONDS)
    open_way = ("ip", "route", "replace", f"{address}/32", "via", underlay("h2"), "dev", "shoal-vx", "onlink")
    in_host("h1", *open_way, "proto", "83")
    assert not reaches(pid, address), "the open tunnel lets it pass"
    until(lambda: reaches(pid, address), "repaired", REPAIR_SECONDS)


def check_repair_of_esp() -> None:
    (pid, _), (_, address) = vault()["h1"], vault()["h2"]
    damages = (
        ("ip", "neigh", "flush", "dev", "shoal-es0", "nud", "permanent"),
        ("ip", "link", "set", "shoal-es0", "down"),
        ("ip", "link", "set", "shoal-es0", "mtu", "1000"),
        ("ip", "xfrm", "state", "flush"),
        ("ip", "link", "del", "shoal-es0"),
    )
    for damage in damages:
        before, started = associations("h1"), time.monotonic()
        in_host("h1", *damage)
        until(
            lambda: reaches(pid, address, "-s", "1300") and leads_by("shoal-es0", "h1"),
            f"repaired after {' '.join(damage[:4])}",
            REPAIR_SECONDS,
        )
        print(f"    {' '.join(damage[:4])}: back after {time.monotonic() - started:.1f} s", flush=True)
        is_new = "state" in damage or "del" in damage
        until(lambda: len(associations("h2")) == 2 and len(associations("h1")) == 2, "older associations are gone")
        assert (associations("h1") != before) == is_new, (
            "an association is installed once, and new ones only if need be"
        )


def check_between_wireguard_and_esp_there_is_esp() -> None:
    restart("h1", "auto")
    until(lambda: sorted(features("h1")) == ["esp", "wireguard"], "h1 has both")
    find_tasks_again()
    until(lambda: len(public_keys("h1")) == 2, "h1 has keys of both")
    assert BODY.decode() in http(vault()["h1"][0], vault()["h2"][1])
    assert all(leads_by("shoal-es0", host) for host in HOSTS)
    restart("h2", "auto")
    until(lambda: sorted(features("h2")) == ["esp", "wireguard"], "h2 has both")
    find_tasks_again()
    until(lambda: all(leads_by("shoal-wg0", host) for host in HOSTS), "WireGuard between both")
    assert BODY.decode() in http(vault()["h1"][0], vault()["h2"][1])


def check_esp_goes() -> None:
    shoal("service", "rm", "vault", "shop")
    shoal("network", "rm", "bank", "street")
    for host in HOSTS:
        until(lambda host=host: "shoal-es" not in in_host(host, "ip", "link"), "tunnels are gone")  # type: ignore[misc]
        assert not associations(host)
        assert "51832" not in in_host(host, "ip", "xfrm", "policy")


CHECKS: tuple[Check, ...] = (
    check_configured_nodes_use_esp,
    check_esp_beside_plain,
    check_esp_shows_nothing_on_the_underlay,
    check_esp_keys_lie_in_memory_alone,
    check_esp_mtu,
    check_esp_keys_change_under_traffic_without_loss,
    check_agent_with_esp_comes_back_without_loss,
    check_esp_fails_closed,
    check_repair_of_esp,
    check_between_wireguard_and_esp_there_is_esp,
    check_esp_goes,
)
