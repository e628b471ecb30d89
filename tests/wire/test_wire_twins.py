"""Plays the written conversations to the twins: what we send is taken, what they answer fits.

Where a transcript and a twin differ the venue's document decides which of them is mended. What a
twin cannot be made to say carries its reason in the conversation (`!` lines).
"""

from pathlib import Path

import pytest
from wirelikeness import Rules, differences
from wireplayer import CONVERSATIONS, VENUES, lines_of
from wiretwin import played


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda p: f"{p.parent.name}/{p.stem}")
async def test_a_twin_answers_as_the_conversation_says(path: Path) -> None:
    await played(path)


@pytest.mark.parametrize("venue", VENUES)
def test_most_of_what_a_venue_says_is_asked_of_its_twin(venue: str) -> None:
    excused = said = 0
    for path in CONVERSATIONS:
        if path.parent.name == venue:
            signs = [sign for _, sign, _ in lines_of(path)]
            excused += signs.count("!")
            said += signs.count("<")
    assert excused * 2 < said, f"{excused} of {said} lines"


RULES = Rules(exact=frozenset({"code"}), optional={"note": "a remark"})


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ({"price": "1.5"}, {"price": 1.5}),  # text became a number
        ({"price": "1.5"}, {}),  # a key is missing
        ({"code": 5}, {"code": 6}),
        ({"state": "filled"}, {"state": "live"}),
        ({"rows": [{"a": 1}]}, {"rows": []}),
        ({"rows": [["1", "2"]]}, {"rows": [["1", "2", "3"]]}),
        ({"done": True}, {"done": False}),
        ({"price": "1.5"}, {"price": "much"}),
    ],
)
def test_what_is_unlike_is_seen(said: object, heard: object) -> None:
    assert differences(said, heard, RULES)


def test_what_depends_on_the_moment_is_alike() -> None:
    said = {"ts": 5, "id": "5f1d2c80-6f0e", "price": "60000", "note": "x", "avg": None}
    heard = {"ts": 7, "id": "77aa2c80-99", "price": "59999.5", "avg": "1", "more": []}
    assert differences(said, heard, RULES) == []
