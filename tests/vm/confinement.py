"""AppArmor on a kernel that has it: the default profile, its rules, profiles by name, and what nodes report."""

import json
import subprocess
from pathlib import Path

from tests.vm.checking import Check
from tests.vm.cluster import COMMAND_SECONDS, HELLO, HOSTS, SHOAL, pid_of, rows, running, shoal, until
from tests.vm.encryption import description

DEFAULT = "shoal-default"
OWN = 'profile "my web" flags=(attach_disconnected) { file, network, capability, signal, deny /etc/passwd r, }\n'
APPARMOR = Path("/sys/kernel/security/apparmor")
OPEN = (
    "--cap-add",
    "SYS_ADMIN",
    "--cap-add",
    "SYS_RAWIO",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "systempaths=unconfined",
)
"""Nothing but AppArmor holds such a container in."""
TRIES = "/src/tests/hostile/syscalls/tries.py"


def label(pid: int) -> str:
    return Path(f"/proc/{pid}/attr/current").read_text().strip()


def create(name: str, *options: str, command: tuple[str, ...] = ()) -> None:
    shoal("service", "create", "-d", "--name", name, *options, f"{HELLO}:1", *command)


def started(name: str, *options: str) -> int:
    """Its task's process."""
    create(name, *options)
    return pid_of(until(lambda: running(name), f"{name} runs")[0]["id"])


def says(service: str, script: str) -> str:
    """What a shell in the service's task says to both its outputs."""
    words = [SHOAL, "exec", service, "sh", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    return done.stdout + done.stderr


def is_loaded(profile: str) -> bool:
    lines = (APPARMOR / "profiles").read_text().splitlines()
    return any(line.startswith(f"{profile} (") for line in lines)


def check_nodes_report_apparmor() -> None:
    whole = ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"]
    assert [description(host)["security_options"] for host in HOSTS] == [whole] * len(HOSTS)
    assert all("name=apparmor" in row["security_options"] for row in rows("node", "ls"))
    assert is_loaded(DEFAULT)


def check_containers_and_programs_in_them_have_the_default_profile() -> None:
    for name, options in (
        ("held", ()),
        ("heldtoo", ("--no-new-privileges", "--user", "1000", "--tty", "--env", "PORT=8080")),
    ):
        assert label(started(name, *options)) == f"{DEFAULT} (enforce)"
        assert says(name, "cat /proc/self/attr/current").strip() == f"{DEFAULT} (enforce)"
        shoal("service", "rm", name)


def check_the_default_profile_refuses_what_nothing_else_does() -> None:
    started("open", *OPEN)
    started("loose", *OPEN, "--security-opt", "apparmor=unconfined")
    script = "mount -t tmpfs x /tmp; echo 60 > /proc/sys/vm/swappiness; cat /proc/kcore | head -c 1 | wc -c"
    held, free = says("open", script), says("loose", script)
    assert held.count("ermission denied") == 3, held
    assert "enied" not in free and free.split()[-1] == "1", free
    # What programs do is let through.
    usual = "echo x > /tmp/y && cat /tmp/y && kill -0 1 && echo 0 > /proc/self/oom_score_adj && echo well"
    assert says("open", usual) == "x\nwell\n"
    for name in ("open", "loose"):
        shoal("service", "rm", name)


def check_sockets_that_the_filter_cannot_refuse() -> None:
    """By `socketcall` of 32-bit programs. Python is the machine's own."""
    mounts = [f"type=bind,source={path},target={path},readonly" for path in ("/usr", "/lib", "/lib64", "/src")]
    options = [word for mount in mounts for word in ("--mount", mount)]
    create("tries", *options, "--restart-condition", "none", command=("/usr/bin/python3", "-I", TRIES))
    attempts = until(lambda: lines if "end 0" in (lines := shoal("service", "logs", "tries")) else "", "it has tried")
    answers = dict(line.split("| ")[-1].rsplit(" ", 1) for line in attempts.splitlines())
    assert (answers["i386 getpid"], answers["i386 socketcall socket AF_ALG"]) == ("0", "13"), answers
    assert (answers["socket AF_ALG"], answers["socket AF_INET"], answers["mount"]) == ("1", "0", "1"), answers
    shoal("service", "rm", "tries")


def check_unconfined_and_privileged() -> None:
    for name, options in (("unconfined", ("--security-opt", "apparmor=unconfined")), ("privileged", ("--privileged",))):
        assert label(started(name, *options)) == "unconfined"
        shoal("service", "rm", name)


def check_a_profile_by_name() -> None:
    create("named", "--security-opt", "apparmor=my web", "--restart-condition", "none")
    ended = ("rejected", "failed")
    refused = until(
        lambda: [row for row in rows("service", "ps", "--all", "named") if row["state"] in ended], "refused"
    )
    assert '"my web" is not loaded on the node' in refused[0]["reason"], json.dumps(refused)
    shoal("service", "rm", "named")
    subprocess.run(
        ["apparmor_parser", "--replace", "--skip-cache"], input=OWN, text=True, check=True, timeout=COMMAND_SECONDS
    )
    assert label(started("named", "--security-opt", "apparmor=my web")) == "my web (enforce)"
    assert "ermission denied" in says("named", "cat /etc/passwd")
    shoal("service", "rm", "named")


def check_the_default_profile_comes_back() -> None:
    (APPARMOR / ".remove").write_bytes(DEFAULT.encode())
    assert not is_loaded(DEFAULT)
    assert label(started("again")) == f"{DEFAULT} (enforce)"
    shoal("service", "rm", "again")


CHECKS: tuple[Check, ...] = (
    check_nodes_report_apparmor,
    check_containers_and_programs_in_them_have_the_default_profile,
    check_the_default_profile_refuses_what_nothing_else_does,
    check_sockets_that_the_filter_cannot_refuse,
    check_unconfined_and_privileged,
    check_a_profile_by_name,
    check_the_default_profile_comes_back,
)
