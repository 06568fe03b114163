"""Which managers agents are told of, and which sessions are handed on to one that has come back."""

import asyncio
from collections import Counter

from manager.dispatcher.sessions.manager_set import manager_addresses, sessions_to_move
from manager.dispatcher.sessions.session_rebalancer import SessionRebalancer
from manager.store.changes import Change
from manager.store.kinds import MANAGER, REGISTERED_MANAGER
from manager.store.tables import Tables
from shoal.api.v1.cluster_pb2 import Manager, RegisteredManager
from shoal.api.v1.dispatcher_pb2 import ManagerMessage
from shoal.rendezvous import ranked_servers

NODES = [f"n{number}" for number in range(300)]


class KeptSession:
    """Remembers what it was to send."""

    def __init__(self) -> None:
        self.sent: list[ManagerMessage] = []

    def send(self, message: ManagerMessage) -> None:
        self.sent.append(message)


def tables(*alive: str, registered: tuple[str, ...] = ("m1", "m2", "m3")) -> Tables:
    made = Tables()
    changes = [
        Change(REGISTERED_MANAGER, each, None, RegisteredManager(id=each, api_address=f"{each}:7440"))  # type: ignore[arg-type]
        for each in registered
    ]
    changes += [
        Change(MANAGER, each, None, Manager(id=each, api_address=f"{each}:7440"))  # type: ignore[arg-type]
        for each in alive
    ]
    made.apply(changes, 1)
    return made


def test_managers_that_are_away_are_told_too() -> None:
    assert manager_addresses(tables("m1", "m4")) == {f"m{number}": f"m{number}:7440" for number in (1, 2, 3, 4)}


def test_nodes_are_handed_on_only_to_a_manager_that_lives_and_that_they_prefer() -> None:
    assert not list(sessions_to_move(NODES, "m1", ["m1"]))
    moves = dict(sessions_to_move(NODES, "m1", ["m1", "m2", "m3"]))
    assert all(ranked_servers(node, ["m1", "m2", "m3"])[0] == to for node, to in moves.items())
    assert "m1" not in moves.values()
    assert min(Counter(moves.values()).values()) > len(NODES) / 5


def test_sessions_are_moved_once_and_only_after_managers_were_steady() -> None:
    async def scenario() -> None:
        sessions = {node: KeptSession() for node in NODES}
        view = tables("m1", "m2")
        spread = SessionRebalancer(view=view, manager_id="m1", sessions=sessions, stable_seconds=0.02, move_seconds=0.0)
        running = asyncio.create_task(spread.run())
        spread.managers_changed()
        expected = dict(sessions_to_move(NODES, "m1", ["m1", "m2"]))
        async with asyncio.timeout(60):
            while sum(len(session.sent) for session in sessions.values()) < len(expected):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        moved = {node: session.sent[0].redirect.manager_id for node, session in sessions.items() if session.sent}
        assert moved == expected
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(scenario())
