"""Plays written conversations to the dialects: what we must send, and what events must come out.

A conversation is tests/wire/<venue>/<name>.wire; tests/wire/<venue>/factory.py has a function
`dialect()` that returns a Feed and a Trade with instruments already listed. Lines:

    # text                       a comment
    $ Name field=value ...       a command to the Trade
    $ Wanted field=value ...     a subscription by the Feed
    $ Login socket=name          a login by the Trade
    > socket {json}              the frame we must send, signed and stamped at VENUE_MS
    > GET /path?query            the call we must make; POST /path {json} alike
    < socket {json}              a frame of the venue (public sockets go to the Feed)
    < 200 tag {json}             an answer over HTTP; `< 0 tag` means that none came
    = Name field=value ...       the event that must come out, in this order and no others
"""

import importlib.util
import shlex
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oneprice.model import commands
from oneprice.venues.contract import Answer, Feed, Request, Trade, Wanted

HERE = Path(__file__).resolve().parent
AT = 1_790_000_000_310_000_000
VENUE_MS = 1_790_000_000_310


def load(folder: Path) -> Callable[[], tuple[Feed, Trade]]:
    spec = importlib.util.spec_from_file_location(f"wire_{folder.name}", folder / "factory.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dialect  # type: ignore[no-any-return]


VENUES = {path.parent.name: path.parent for path in sorted(HERE.glob("*/factory.py"))}
CONVERSATIONS = sorted(path for name in VENUES for path in (HERE / name).glob("*.wire"))


def shown(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def fields_of(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words)


class Player:
    """One conversation with one dialect."""

    def __init__(self, feed: Feed, trade: Trade) -> None:
        self.feed, self.trade = feed, trade
        self.public = {s.name for s in feed.spec.sockets if s.role == "public"}
        self.sent: list[Request] = []
        self.events: list[Any] = []
        self.count = 0

    def done(self) -> None:
        """Nothing may be left over that the conversation does not mention."""
        assert not self.events, f"events nobody expected: {self.events}"
        assert not self.sent, f"requests nobody expected: {[r.tag for r in self.sent]}"

    def command(self, text: str) -> None:
        self.done()
        name, *words = shlex.split(text)
        fields: dict[str, Any] = fields_of(words)
        if name == "Login":
            requests = self.trade.login(fields["socket"])
        elif name == "Wanted":
            self.count += 1
            topics = self.feed.topics([msgspec.convert(fields, Wanted, strict=False)])
            frame = self.feed.subscribe(topics, self.count, on=True)
            requests = (Request(tag="subscribe", socket=topics[0].socket, body=frame),)
        else:
            if "side" in fields:
                fields["side"] = {"BUY": 1, "SELL": -1}[fields["side"]]
            wish = msgspec.convert(fields, getattr(commands, name), strict=False)
            requests = self.trade.encode(wish, AT)
        self.sent += [self.trade.sign(request, VENUE_MS) for request in requests]

    def must_send(self, text: str) -> None:
        assert self.sent, f"nothing was sent, expected {text}"
        request = self.sent.pop(0)
        target, _, rest = text.partition(" ")
        if request.socket:
            assert target == request.socket
            assert msgspec.json.decode(request.body) == msgspec.json.decode(rest)
            return
        path, _, body = rest.partition(" ")
        query = f"?{request.query}" if request.query else ""
        assert (target, path) == (request.method, request.path + query)
        assert (msgspec.json.decode(request.body) if request.body else "") == (
            msgspec.json.decode(body) if body else ""
        )

    def receive(self, text: str) -> None:
        self.done()
        target, _, rest = text.partition(" ")
        if target.isdigit():
            tag, _, body = rest.partition(" ")
            side = (
                self.feed if tag.startswith(("instruments", "clock", "snapshot")) else self.trade
            )
            answer = Answer(tag=tag, status=int(target), body=body.encode())
            self.events += side.answered(answer, AT)
            return
        speaker = self.feed if target in self.public else self.trade
        self.events += speaker.decode(target, rest.encode(), AT)

    def must_yield(self, text: str) -> None:
        assert self.events, f"no event, expected {text}"
        event = self.events.pop(0)
        name, *words = shlex.split(text)
        assert type(event).__name__ == name, f"expected {text}, found {event}"
        wanted = fields_of(words)
        found = {field: shown(getattr(event, field)) for field in wanted}
        assert found == wanted, f"expected {text}, found {event}"


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_conversation_goes_as_written(path: Path) -> None:
    player = Player(*load(path.parent)())
    acts = {
        "$": player.command,
        ">": player.must_send,
        "<": player.receive,
        "=": player.must_yield,
    }
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            acts[line[0]](line[2:].strip())
        except AssertionError as error:
            raise AssertionError(f"{path.name}:{number}: {error}") from error
    player.done()


def test_every_venue_folder_has_conversations() -> None:
    assert VENUES
    for name in VENUES:
        assert list((HERE / name).glob("*.wire")), name
