"""Whether what a twin says is what the transcript says: same keys, JSON types, words and codes.

Numbers, times and ids that depend on the moment are compared by form: a number, a number written
as text, a time, an id. Words (states, sides, topics) and the fields named in `Rules` are compared
by value, so that a transcript that means "cancelled" is not told "filled".
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
_ID = re.compile(r"(?=.*\d)[0-9A-Za-z_:.,@=+/-]{6,}")
_FIGURE = re.compile(r"\d+(\.\d+)?")  # within a sentence


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What one venue's fields mean. Names are keys, or a path's end such as "data.code"."""

    exact: frozenset[str] = frozenset()  # codes: equal as they stand, number or text
    meant: frozenset[str] = frozenset()  # amounts the conversation fixes: equal as numbers
    free: frozenset[str] = frozenset()  # texts for people, and names we do not choose: by type
    optional: Mapping[str, str] = {}  # what a twin may leave out, and why


def form(text: str) -> str:
    """empty number time id or word."""
    if not text:
        return "empty"
    if _NUMBER.fullmatch(text):
        return "number"
    if _TIME.fullmatch(text):
        return "time"
    return "id" if _ID.fullmatch(text) else "word"


def kind(value: Any) -> str:
    """The JSON type."""
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float | Decimal):
        return "number"
    names = {str: "text", dict: "object", list: "array", type(None): "null"}
    return names[type(value)]


def differences(said: Any, heard: Any, rules: Rules, path: tuple[str, ...] = ()) -> list[str]:
    """What a transcript's value has that the twin's has not; empty where they are alike."""
    here = ".".join(path) or "the message"
    key = path[-1] if path else ""
    names = (key, ".".join(path[-2:]))
    if said is None:
        return []  # not known at that moment: whatever the twin knows is no contradiction
    if kind(said) != kind(heard):
        return [f"{here}: {kind(said)} {said!r}, twin {kind(heard)} {heard!r}"[:200]]
    if any(name in rules.free for name in names):
        return []
    match said:
        case dict():
            return _objects(said, heard, rules, path)
        case list():
            return _arrays(said, heard, rules, path)
    if any(name in rules.exact for name in names) or isinstance(said, bool):
        return [] if said == heard else [f"{here}: {said!r}, twin {heard!r}"]
    if any(name in rules.meant for name in names):
        same = _amount(said) == _amount(heard)
        return [] if same else [f"{here}: {said!r}, twin {heard!r}"]
    return _texts(said, heard, here) if isinstance(said, str) else []


def _amount(value: Any) -> Any:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return value


def _texts(said: str, heard: str, here: str) -> list[str]:
    wanted = form(said)
    if wanted == "empty" or said == heard:
        return []
    if wanted == "id" and form(heard) in ("id", "number"):
        return []
    if wanted != "word" and form(heard) == wanted:
        return []
    if _FIGURE.sub("#", said) == _FIGURE.sub("#", heard):
        return []
    return [f"{here}: {wanted} {said!r}, twin {heard!r}"[:200]]


def _objects(
    said: dict[str, Any], heard: dict[str, Any], rules: Rules, path: tuple[str, ...]
) -> list[str]:
    found = []
    for name, value in said.items():
        place = (*path, name)
        if name in heard:
            found += differences(value, heard[name], rules, place)
        elif not {name, ".".join(place[-2:])} & rules.optional.keys():
            found.append(f"{'.'.join(place)}: missing")
    return found


def _arrays(said: list[Any], heard: list[Any], rules: Rules, path: tuple[str, ...]) -> list[str]:
    """Rows of objects: each has a like one; columns: each like its own; scalars: by type."""
    here = ".".join(path)
    if not said:
        return []
    if not heard:
        return [f"{here}: empty"]
    found: list[str] = []
    if isinstance(said[0], dict):
        rows = [one for one in heard if isinstance(one, dict)]
        for row in said:
            tries = [differences(row, other, rules, path) for other in rows]
            found += min(tries, key=len, default=[f"{here}: no rows"])
        return found
    if isinstance(said[0], list):
        return differences(said[0], heard[0], rules, path)
    if len(said) != len(heard) and path[-1:] not in (("args",), ("params",)):
        found.append(f"{here}: {len(said)} columns, twin {len(heard)}")
    for number, (one, other) in enumerate(zip(said, heard, strict=False)):
        found += differences(one, other, rules, (*path, str(number)))
    return found
