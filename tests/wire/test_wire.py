"""Plays written conversations to the dialects: what we must send, and what events must come out.

How a conversation is written is told in wireplayer.py; the same ones are played to the twins by
test_wire_twins.py.
"""

from pathlib import Path

import pytest
from wireplayer import CONVERSATIONS, HERE, VENUES, Player, load


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_conversation_goes_as_written(path: Path) -> None:
    Player(*load(path.parent).dialect()).play(path)


def test_every_venue_folder_has_conversations() -> None:
    assert VENUES
    for name in VENUES:
        assert list((HERE / name).glob("*.wire")), name
