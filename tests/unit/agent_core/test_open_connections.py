"""Which connections a task waits for before its stop signal."""

from agent.worker.draining import count_clients

_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(local: str, remote: str, state: str) -> str:
    return f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"


LISTENING = line("00000000:0050", "00000000:0000", "0A")


def test_clients_of_a_port_that_is_listened_on_count() -> None:
    client = line("0201A8C0:0050", "0A01A8C0:C001", "01")
    arriving = line("0201A8C0:0050", "0A01A8C0:C002", "03")
    assert count_clients(_HEAD + LISTENING + client + arriving) == 2


def test_own_calls_and_closed_connections_do_not() -> None:
    outgoing = line("0201A8C0:C001", "0A01A8C0:0050", "01")
    closing = line("0201A8C0:0050", "0A01A8C0:C001", "06")
    half_closed = line("0201A8C0:0050", "0A01A8C0:C001", "08")
    itself = line("0100007F:0050", "0100007F:C001", "01")
    assert count_clients(_HEAD + LISTENING + outgoing + closing + half_closed + itself) == 0


def test_clients_by_a_socket_of_both_families_count() -> None:
    listening = line(f"{'0' * 32}:0050", f"{'0' * 32}:0000", "0A")
    mapped = "0000000000000000FFFF0000"
    client = line(f"{mapped}0201A8C0:0050", f"{mapped}0A01A8C0:C001", "01")
    itself = line(f"{mapped}0100007F:0050", f"{mapped}0100007F:C001", "01")
    assert count_clients(_HEAD + listening + client + itself) == 1


def test_an_empty_table_has_none() -> None:
    assert count_clients("") == count_clients(_HEAD) == 0
