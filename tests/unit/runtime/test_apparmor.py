"""AppArmor: what is decided of hosts and containers. The hosts are directories, with a parser that is a script."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from agent.host.inspection import security_options
from agent.runtime.confinement.apparmor import AppArmor, label_of, profile_for, unsupported_reason
from agent.runtime.confinement.apparmor_profile import DEFAULT_PROFILE, profile_text
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.errors import InvalidInput, ShoalError, Unavailable

PARSER = Path("/usr/sbin/apparmor_parser")
FEATURES = Path("/usr/share/apparmor-features/features")
LOADS = 'cat >> "$0.said"; echo "$@" >> "$0.words"; echo "shoal-default (enforce)" >> '
FAILS = 'echo "parser error: line 1" >&2; exit 1; # '


class Host:
    """A host's sysfs and policy, and its apparmor_parser, which is a shell script."""

    def __init__(self, directory: Path, *, enabled: str = "Y\n", does: str = LOADS, loaded: str = "man (enforce)\n"):
        self.sysfs = directory / "sys"
        self.profiles = self.sysfs / "kernel/security/apparmor/profiles"
        self.profiles.parent.mkdir(parents=True)
        self.profiles.write_text(loaded)
        (self.sysfs / "module/apparmor/parameters").mkdir(parents=True)
        (self.sysfs / "module/apparmor/parameters/enabled").write_text(enabled)
        self.policy = directory / "apparmor.d"
        (self.policy / "abi").mkdir(parents=True)
        (self.policy / "abi/3.0").touch()
        self.parser = directory / "apparmor_parser"
        self.parser.write_text(f"#!/bin/sh\n{does}{self.profiles}\n")
        self.parser.chmod(0o755)

    def apparmor(self) -> AppArmor:
        return AppArmor(sysfs=self.sysfs, policy=self.policy, parser=self.parser)

    def parsed(self, what: str) -> str:
        path = self.parser.with_name(f"apparmor_parser.{what}")
        return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(
    ("enabled", "is_mounted", "has_parser", "why"),
    [
        ("Y\n", True, True, ""),
        ("N\n", True, True, "does not support AppArmor"),
        ("", True, True, "does not support AppArmor"),
        ("Y\n", False, True, "mount -t securityfs"),
        ("Y\n", True, False, "apt-get install apparmor"),
    ],
)
def test_what_a_host_lacks(enabled: str, is_mounted: bool, has_parser: bool, why: str) -> None:
    reported = unsupported_reason(enabled=enabled, is_mounted=is_mounted, has_parser=has_parser)
    assert why in reported and bool(reported) == bool(why)


@pytest.mark.parametrize(
    ("spec", "profile"),
    [
        (ContainerSpec(), DEFAULT_PROFILE),
        (ContainerSpec(privileged=True), "unconfined"),
        (ContainerSpec(apparmor="unconfined"), "unconfined"),
        (ContainerSpec(apparmor="web"), "web"),
        (ContainerSpec(apparmor="web", privileged=True), "web"),
    ],
)
def test_which_profile_a_container_gets(spec: ContainerSpec, profile: str) -> None:
    assert profile_for(spec, is_supported=True) == profile


@pytest.mark.parametrize(
    "spec", [ContainerSpec(), ContainerSpec(privileged=True), ContainerSpec(apparmor="unconfined")]
)
def test_without_apparmor_a_container_gets_none(spec: ContainerSpec) -> None:
    assert profile_for(spec, is_supported=False) == ""


@pytest.mark.parametrize("name", ["web", DEFAULT_PROFILE])
def test_without_apparmor_a_profile_by_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"spec.apparmor.*AppArmor is not available on the node"):
        profile_for(ContainerSpec(apparmor=name), is_supported=False)


@pytest.mark.parametrize(
    ("context", "label"),
    [
        ("web (enforce)\n", "web"),
        ("a profile (of mine) (complain)\n", "a profile (of mine)"),
        ("unconfined\n", "unconfined"),
        ("web", "web"),
        ("web\0", "web"),
        ("", "unconfined"),
    ],
)
def test_labels_as_the_kernel_writes_them(context: str, label: str) -> None:
    assert label_of(context) == label


def test_the_default_profile_is_replaced_when_the_agent_starts(tmp_path: Path) -> None:
    host = Host(tmp_path, loaded="shoal-default (enforce)\n")
    host.apparmor().load_default()
    assert host.parsed("words").split() == ["--skip-cache", "--replace"]
    assert host.parsed("said").startswith("abi <abi/3.0>,\n@{PROC}=/proc/\n")


def test_a_container_whose_profile_is_loaded_costs_no_program(tmp_path: Path) -> None:
    host = Host(tmp_path, loaded="shoal-default (enforce)\nmy web (complain)\n")
    for profile in (DEFAULT_PROFILE, "my web", "unconfined", ""):
        host.apparmor().require(profile)
    assert host.parsed("words") == ""


def test_the_default_profile_is_loaded_again_once_after_someone_has_removed_it(tmp_path: Path) -> None:
    host = Host(tmp_path)
    apparmor = host.apparmor()
    starts = [Thread(target=apparmor.require, args=(DEFAULT_PROFILE,)) for _ in range(4)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert host.profiles.read_text().count(DEFAULT_PROFILE) == 1


def test_a_profile_that_is_not_loaded_is_a_fault_of_the_task(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r'spec.apparmor.*"man " is not loaded on the node; load it with'):
        Host(tmp_path).apparmor().require("man ")


@pytest.mark.parametrize("does", [FAILS, "exec /nonexistent/program # "])
def test_a_default_profile_that_cannot_be_loaded_holds_containers_back_and_not_the_agent(
    tmp_path: Path, does: str
) -> None:
    apparmor = Host(tmp_path, does=does).apparmor()
    apparmor.load_default()
    with pytest.raises(Unavailable, match="could not load AppArmor profile shoal-default: "):
        apparmor.require(DEFAULT_PROFILE)


def break_parser(host: Host) -> None:
    host.parser.unlink()


def break_list(host: Host) -> None:
    host.profiles.unlink()
    host.profiles.mkdir()


@pytest.mark.parametrize("harm", [break_parser, break_list])
def test_a_host_that_breaks_meanwhile_is_told_of(tmp_path: Path, harm: Callable[[Host], None]) -> None:
    host = Host(tmp_path)
    apparmor = host.apparmor()
    harm(host)
    with pytest.raises(ShoalError, match="AppArmor profile"):
        apparmor.require(DEFAULT_PROFILE)


def test_a_host_whose_policy_is_not_to_be_seen_has_none(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.profiles.unlink()
    assert "securityfs is not mounted" in host.apparmor().unsupported_reason


def test_a_host_without_apparmor_runs_no_program(tmp_path: Path) -> None:
    host = Host(tmp_path, enabled="N\n")
    apparmor = host.apparmor()
    apparmor.load_default()
    assert (apparmor.is_supported, host.parsed("words")) == (False, "")


@pytest.mark.parametrize("has", [(), ("abi/3.0", "tunables/global", "abstractions/base")])
def test_the_default_profile_compiles(has: tuple[str, ...]) -> None:
    """With the features of a kernel that Debian's package describes; nothing is loaded."""
    command: list[str | Path] = [PARSER, "--skip-kernel-load", "--skip-cache", "--stdout", "--features-file", FEATURES]
    text = profile_text(agent="unconfined", has=has)
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert DEFAULT_PROFILE.encode() in done.stdout


@pytest.mark.parametrize(
    ("found", "options"),
    [
        ((True, True, True), ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"]),
        ((False, True, False), ["name=seccomp,profile=builtin"]),
        ((False, False, False), []),
    ],
)
def test_what_a_node_tells_of_it(found: tuple[bool, bool, bool], options: list[str]) -> None:
    apparmor, seccomp, namespaces = found
    assert security_options(apparmor=apparmor, seccomp=seccomp, cgroup_namespaces=namespaces) == options
