"""Rules of nft, answers of name servers, histories, and files of events."""

import socket
import struct
from pathlib import Path

from tests.chaos.checks.key_history import KeyEvent
from tests.chaos.cluster.watch_recorder import event_line, read_events
from tests.chaos.faults.packet_rules import directions, loss_rules, peer_rules, table_text
from tests.chaos.history import INVOKE, OK, History, read_history
from tests.chaos.polling import until
from tests.chaos.workload.request_client import address_in


def test_rules_of_a_partition_lose_one_direction_and_spare_the_registry() -> None:
    assert directions("both") == ("in", "out")
    assert peer_rules(["198.18.0.2"], "in") == {"in": ["ip saddr 198.18.0.2 tcp sport != 5000 tcp dport != 5000 drop"]}
    text = table_text("chaos1", peer_rules(["198.18.0.2"], "out"))
    assert "hook output" in text and "hook input" not in text
    assert 'oifname != "lo" ip daddr 198.18.0.2' in text


def test_rules_of_a_lossy_link_lose_both_ways() -> None:
    assert set(loss_rules(30)) == {"in", "out"}


def test_the_address_in_an_answer_behind_another_record() -> None:
    question = struct.pack(">6H", 1, 0x8180, 1, 2, 0, 0) + b"\3api\0" + struct.pack(">2H", 1, 1)
    alias = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 60, 2) + b"\xc0\x0c"
    record = b"\3api\0" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton("10.0.0.9")
    assert address_in(question + alias + record, len(question)) == "10.0.0.9"
    assert address_in(b"", 12) == ""
    none = struct.pack(">6H", 1, 0x8183, 1, 0, 0, 0) + question[12:]
    assert address_in(none, len(none)) == ""


def test_a_history_is_read_back(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    first = history.add("writer", INVOKE, "create-config", 1)
    second = history.add("writer", OK, "create-config", 1)
    history.close()
    assert list(read_history(tmp_path / "history.jsonl")) == [first, second] == history.operations


def test_events_are_read_back(tmp_path: Path) -> None:
    events = [KeyEvent(3, "/shoal/v1/a", b"\0\xff", 3, 1.5), KeyEvent(4, "/shoal/v1/a", None, 0, 2.5)]
    (tmp_path / "records.jsonl").write_text("".join(map(event_line, events)))
    assert list(read_events(tmp_path / "records.jsonl")) == events


def test_polling_ends() -> None:
    turns = iter((False, True))
    assert until(lambda: next(turns), 5.0, 0.001)
    assert not until(lambda: False, 0.01, 0.001)
