"""Rows of a list of containers are kept as JSON, and are what they would be if they were made anew."""

import json
from typing import Any

from engine.protocol.versions import NEWEST, OLDEST
from engine.translate.containers.container_facts import Surroundings
from engine.translate.containers.container_list import list_row
from engine.translate.containers.encoded_rows import EncodedRows
from engine.translate.images.image_facts import ImageFacts
from shoal.api.v1.engine_pb2 import ContainerView
from tests.unit.engine.test_container_endpoints import AROUND, FRONT, view

MADE_MS = 1_700_000_000_000
MINUTE_MS = 60_000


def views() -> list[ContainerView]:
    found = [view(FRONT), view("bridge", running=False)]
    found[0].task_status.running_at_ms = MADE_MS
    found[1].container.meta.id, found[1].container.name = "0d1t2w3r4k5x6", "dé"
    return found


def rows(kept: EncodedRows, of: list[ContainerView], around: Surroundings = AROUND, minutes: int = 5) -> Any:
    now_ms = MADE_MS + minutes * MINUTE_MS
    found = json.loads(kept.encoded(of, of, NEWEST, around, now_ms=now_ms))
    assert found == [list_row(each, NEWEST, around, now_ms=now_ms) for each in of]
    return found


def test_what_is_kept_is_what_would_be_made_anew() -> None:
    kept, of = EncodedRows(), views()
    assert rows(kept, of)[0]["Status"] == "Up 5 minutes"
    assert rows(kept, of, minutes=9)[0]["Status"] == "Up 9 minutes"
    assert rows(kept, []) == []


def test_whatever_a_row_shows_makes_another_one() -> None:
    kept, of = EncodedRows(), views()
    rows(kept, of)
    of[0].container.name = "other"
    of[0].task_status.paused = True
    assert rows(kept, of)[0]["Names"] == ["/other"]
    renamed = {**AROUND.networks, FRONT: AROUND.networks["bridge"]}
    rows(kept, of, Surroundings(renamed))
    image = ImageFacts("sha256:1", {"Labels": {"a": "b"}})
    linked = Surroundings(AROUND.networks, {"": image}, {of[0].container.meta.id: ["/web/db"]})
    assert rows(kept, of, linked)[0]["Labels"] == {"a": "b"}
    old = json.loads(kept.encoded(of, of, OLDEST, AROUND, now_ms=MADE_MS))
    assert old == [list_row(each, OLDEST, AROUND, now_ms=MADE_MS) for each in of]


def test_the_same_answer_is_not_even_looked_at_again() -> None:
    kept, of = EncodedRows(), views()
    assert kept.again(of, NEWEST, now_ms=MADE_MS) is None
    made = kept.encoded(of, of, NEWEST, AROUND, now_ms=MADE_MS)
    assert kept.again(of, NEWEST, now_ms=MADE_MS) == made
    assert kept.again(of, OLDEST, now_ms=MADE_MS) is None
    assert kept.again(list(of), NEWEST, now_ms=MADE_MS) is None


def test_no_more_is_kept_than_is_allowed() -> None:
    kept, of = EncodedRows(max_bytes=1000), views()
    for _ in range(3):
        rows(kept, of)
    assert kept._bytes == sum(each.size for each in kept._kept.values()) <= 1000
