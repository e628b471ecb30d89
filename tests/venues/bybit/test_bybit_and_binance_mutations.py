"""Everything the conversations of two venues let the venue say, damaged in every way we know."""

import importlib.util
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oneprice.model.commands import QueryAccount, QueryOrder
from oneprice.venues.contract import Ack, Answer, Output, Wanted

WIRE = Path(__file__).resolve().parents[2] / "wire"
AT = 1_790_000_000_310_000_000
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 10**30, 0.5, "", "0", "-1", "1e5", "NaN", "60000.05", [], {}, [[]], "x" * 9,
)  # fmt: skip


def dialect(venue: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"m_{venue}", WIRE / venue / "factory.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dialect()


def said(venue: str) -> list[tuple[str, str, Any]]:
    """(socket, "", body) of every frame and (status, tag, body) of every answer with a body."""
    out = []
    for path in sorted((WIRE / venue).glob("*.wire")):
        for line in path.read_text().splitlines():
            target, _, rest = line.removeprefix("< ").partition(" ")
            if not line.startswith("< ") or target == "0":
                continue
            tag, _, body = rest.partition(" ") if target.isdigit() else ("", "", rest)
            with suppress(ValueError):  # some are no JSON on purpose
                out.append((target, tag, json.loads(body)))
    return out


SAID = {venue: said(venue) for venue in ("bybit", "binance")}


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside."""
    found = [path] if path else []
    if isinstance(node, dict):
        for key, value in node.items():
            found += places(value, (*path, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            found += places(value, (*path, number))
    return found


def damaged(node: Any, path: tuple[Any, ...], how: str, odd: Any) -> Any:
    """A copy with one place swapped for something odd, left out, doubled, or turned round."""
    if not path:
        if how == "reverse" and isinstance(node, dict):
            return dict(reversed(node.items()))
        if how == "reverse" and isinstance(node, list):
            return node[::-1]
        if how == "quote":
            return node if isinstance(node, str) else json.dumps(node)
        return odd
    key, *rest = path
    copy = node.copy()
    if rest or how in ("swap", "reverse", "quote"):
        copy[key] = damaged(node[key], tuple(rest), how, odd)
    elif how == "drop":
        del copy[key]
    elif isinstance(copy, list):
        copy.insert(key, copy[key])
    return copy


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), how=st.sampled_from(["swap", "drop", "double", "reverse", "quote", "cut"]))
@pytest.mark.parametrize("venue", SAID)
def test_no_damage_makes_a_dialect_raise_or_say_something_that_is_no_event(
    venue: str, data: Any, how: str
) -> None:
    target, tag, body = data.draw(st.sampled_from(SAID[venue]))
    path = data.draw(st.sampled_from([(), *places(body)]))
    text = json.dumps(damaged(body, path, how, data.draw(st.sampled_from(ODD))))
    if how == "double":
        text = text.replace('"a":', '"a":[],"a":').replace('"id":', '"id":null,"id":')
    if how == "cut":
        text = text[: data.draw(st.integers(0, len(text)))]
    feed, trade = dialect(venue)
    name = next(iter(feed.listed))
    feed.topics([Wanted(instrument=each, trades=True) for each in feed.listed])
    trade.encode(QueryOrder(order_id="arb-0001", instrument=name), AT)
    for market in {each.split(":")[1] for each in feed.listed}:
        trade.encode(QueryAccount(venue=venue, market=market), AT)
    public = {spec.name for spec in feed.spec.sockets if spec.role == "public"}
    if target.isdigit():
        answer = Answer(tag=tag, status=int(target), body=text.encode())
        side = feed if tag.startswith(("instruments", "clock", "snapshot")) else trade
        outputs = side.answered(answer, AT)
    else:
        outputs = (feed if target in public else trade).decode(target, text.encode(), AT)
    for output in outputs:
        assert isinstance(output, Output)
        assert "simsecret" not in repr(output)
        if isinstance(output, Ack):
            assert isinstance(output.text, str)
