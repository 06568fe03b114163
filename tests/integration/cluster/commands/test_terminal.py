"""The command line on a terminal: bars, Ctrl-C, exit codes."""

import re
import signal

from tests.integration.cluster.harness import Cluster
from tests.integration.cluster.terminal import Terminal

HELLO = "registry:5000/hello"


def test_a_bar_is_redrawn_until_it_is_full(clean: Cluster) -> None:
    """Its tasks run only once the empty one has been drawn."""
    web = ("--name", "web", "--replicas", "3", "--verify", "0", "--constraint", "node.labels.late == y")
    terminal = Terminal(clean, "service", "create", *web, f"{HELLO}:1")
    terminal.read_until("[" + "." * 30 + "]  0/3 running")
    clean.shoal("node", "update", "--label-add", "late=y", "h1")
    terminal.read_until("[" + "#" * 30 + "]  3/3 running")
    assert terminal.end() == 0
    assert re.search(r"\x1b\[[1-9]A", terminal.seen)


def test_ctrl_c_detaches_and_says_so(clean: Cluster) -> None:
    terminal = Terminal(
        clean, "service", "create", "--name", "nowhere", "--constraint", "node.hostname == h9", f"{HELLO}:1"
    )
    terminal.read_until("0/1 running")
    terminal.process.send_signal(signal.SIGINT)
    terminal.read_until(re.compile("detached; .*`shoal service ps nowhere`"))
    assert terminal.end() == 130
    assert [row["name"] for row in clean.json("service", "ls")] == ["nowhere"]


def test_what_does_not_converge_in_time_is_reported_with_its_reason(clean: Cluster) -> None:
    done = clean.run(
        *("service", "create", "--timeout", "5", "--name", "nowhere"),
        *("--constraint", "node.hostname == h9", f"{HELLO}:1"),
    )
    assert done.returncode == 3
    assert "not converged within 5 s" in done.stderr
    assert "node.hostname == h9" in done.stderr


def test_waiting_goes_on_across_a_restart_of_the_manager(clean: Cluster) -> None:
    terminal = Terminal(
        clean, "service", "create", "--name", "late", "--constraint", "node.labels.late == y", f"{HELLO}:1"
    )
    terminal.read_until("0/1 running")
    clean.playground.stop_manager(kill=True)
    try:
        terminal.read_until("the operation continues; retrying")
    finally:
        clean.playground.start_manager()
    clean.playground.wait_for_nodes(3)
    clean.shoal("node", "update", "--label-add", "late=y", "h1")
    terminal.read_until("1/1 running")
    assert terminal.end() == 0
    clean.shoal("node", "update", "--label-rm", "late", "h1")


def test_the_time_of_watching_is_shown_and_ctrl_c_leaves_it(clean: Cluster) -> None:
    terminal = Terminal(clean, "service", "create", "--name", "web", "--verify", "3600", f"{HELLO}:1")
    terminal.read_until(re.compile(r"1/1 running  \(verifying for 3[45]\d\d s\)"))
    terminal.process.send_signal(signal.SIGINT)
    terminal.read_until("detached")
    assert terminal.end() == 130
    assert [task["state"] for task in clean.tasks("web")] == ["running"]
