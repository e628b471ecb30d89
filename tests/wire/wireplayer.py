"""Plays a written conversation to a dialect, line by line.

A conversation is tests/wire/<venue>/<name>.wire; tests/wire/<venue>/factory.py has a function
`dialect()` that returns a Feed and a Trade with instruments already listed. Lines:

    # text                       a comment
    $ Name field=value ...       a command to the Trade
    $ Batch Name field=value ... | Name field=value ...     several commands at once
    $ Wanted field=value ...     a subscription by the Feed
    $ History field=value ...    a stretch of the past, asked of the Feed
    $ Snapshot instrument=id     a book asked of the Feed
    $ Instruments market=name    the listings of a market, asked of the Feed
    $ Clock                      the venue's time, asked of the Feed
    $ Login socket=name          a login by the Trade
    $ Door socket=name           what the Feed asks before it connects
    > socket {json}              the frame we must send, signed and stamped at VENUE_MS
    > GET /path?query            the call we must make; POST /path {json} alike; also what an
                                 answer made necessary (a page, a second question)
    < socket {json}              a frame of the venue (public sockets go to the Feed)
    < 200 tag {json}             an answer over HTTP; `< 0 tag` means that none came
    = Name field=value ...       the event that must come out, in this order and no others
    ~ word ...                   only where a twin is the venue: what happens there (wirestage.py)
    ! reason                     only there: why a twin does not say the next `<` line
    ! row 2: reason              or one row of its answer
"""

import importlib.util
import shlex
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from oneprice.model import commands
from oneprice.venues.contract import Answer, Feed, HistoryWanted, Request, Trade, Wanted

HERE = Path(__file__).resolve().parent
AT = 1_790_000_000_310_000_000
VENUE_MS = 1_790_000_000_310
PUBLIC_TAGS = ("instruments", "clock", "snapshot", "history", "intervals")


def load(folder: Path, name: str = "factory") -> ModuleType:
    """A module of one venue's folder; several venues have one of the same name."""
    path = folder / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"wire_{folder.name}_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VENUES = {path.parent.name: path.parent for path in sorted(HERE.glob("*/factory.py"))}
CONVERSATIONS = sorted(path for name in VENUES for path in (HERE / name).glob("*.wire"))


def lines_of(path: Path) -> Iterator[tuple[int, str, str]]:
    """Number, sign and text of every line that is played."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line[0], line[2:].strip()


def shown(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def fields_of(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words)


def wish(text: str) -> Any:
    """A command from its line."""
    name, *words = shlex.split(text)
    fields: dict[str, Any] = fields_of(words)
    if "side" in fields:
        fields["side"] = {"BUY": 1, "SELL": -1}[fields["side"]]
    return msgspec.convert(fields, getattr(commands, name), strict=False)


class Player:
    """One conversation with one dialect."""

    def __init__(self, feed: Feed, trade: Trade) -> None:
        self.feed, self.trade = feed, trade
        self.public = {s.name for s in feed.spec.sockets if s.role == "public"}
        self.sent: list[Request] = []
        self.asked: dict[str, Request] = {}  # what an answer belongs to, by tag
        self.events: list[Any] = []
        self.count = 0

    @property
    def acts(self) -> dict[str, Callable[[str], None]]:
        return {
            "$": self.command,
            ">": self.must_send,
            "<": self.receive,
            "=": self.must_yield,
            "~": lambda text: None,
            "!": lambda text: None,
        }

    def play(self, path: Path) -> None:
        for number, sign, text in lines_of(path):
            try:
                self.acts[sign](text)
            except AssertionError as error:
                raise AssertionError(f"{path.name}:{number}: {error}") from error
        self.done()

    def done(self) -> None:
        """Nothing may be left over that the conversation does not mention."""
        assert not self.events, f"events nobody expected: {self.events}"
        assert not self.sent, f"requests nobody expected: {[r.tag for r in self.sent]}"

    def command(self, text: str) -> None:
        self.done()
        self._send(self._requests(text))

    def _send(self, requests: Any) -> None:
        signed = [self.trade.sign(request, VENUE_MS) for request in requests]
        self.asked |= {request.tag: request for request in signed}
        self.sent += signed

    def _requests(self, text: str) -> Any:
        name, _, rest = text.partition(" ")
        fields: dict[str, Any] = {} if name == "Batch" else fields_of(shlex.split(rest))
        match name:
            case "Login":
                return self.trade.login(fields["socket"])
            case "Door":
                return self.feed.door(fields["socket"])
            case "Clock":
                return (self.feed.clock(),)
            case "Instruments":
                return self.feed.instruments([fields["market"]])
            case "Snapshot":
                request = self.feed.snapshot(fields["instrument"])
                return () if request is None else (request,)
            case "History":
                return self.feed.history(msgspec.convert(fields, HistoryWanted, strict=False))
            case "Batch":
                return self.trade.batch([wish(one) for one in rest.split(" | ")], AT)
            case "Wanted":
                self.count += 1
                topics = self.feed.topics([msgspec.convert(fields, Wanted, strict=False)])
                frame = self.feed.subscribe(topics, self.count, on=True)
                return (Request(tag="subscribe", socket=topics[0].socket, body=frame),)
        return self.trade.encode(wish(text), AT)

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
            asked = self.asked.get(tag)
            answer = Answer(
                tag=tag,
                status=int(target),
                body=body.encode(),
                order_id=asked.order_id if asked else "",
                order_ids=asked.order_ids if asked else (),
            )
            side = self.feed if self._is_public(tag) else self.trade
            self.events += side.answered(answer, AT)
            self._send(side.follow_ups())
            return
        speaker = self.feed if target in self.public else self.trade
        self.events += speaker.decode(target, rest.encode(), AT)

    def _is_public(self, tag: str) -> bool:
        kind, _, name = tag.partition(":")
        return kind in PUBLIC_TAGS or (kind == "door" and name.split(":")[0] in self.public)

    def must_yield(self, text: str) -> None:
        assert self.events, f"no event, expected {text}"
        event = self.events.pop(0)
        name, *words = shlex.split(text)
        assert type(event).__name__ == name, f"expected {text}, found {event}"
        wanted = fields_of(words)
        found = {field: shown(getattr(event, field)) for field in wanted}
        assert found == wanted, f"expected {text}, found {event}"
