"""Plays a written conversation to the twin of its venue, over real sockets on loopback.

What the conversation says we send is sent, stamped and signed anew for the twin's clock and keys
by the venue's twin_stage.py; what it says the venue answers is compared with what the twin says
(wirelikeness.py). More words of `~` lines than wirestage.py has:

    call tag METHOD /path [{json}]     a signed call that the conversation only tells the end of;
                                       futures:/path where a venue's futures have their own host
    plain tag METHOD /path             the same, unsigned
    send socket {json}                 a frame, stamped and signed alike
    reopen socket                      a new connection, not logged in
    connect socket                     a new connection, logged in
    repeat count                       the next `>` line is sent so many times more, before
    forget socket                      what was heard on it so far is of no interest
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from wirelikeness import differences
from wireplayer import Player, lines_of, load
from wirestage import Stage
from yarl import URL

from oneprice.twin.server import RunningTwin, Timing, serve
from oneprice.venues.contract import Request

PATIENCE_S = 20.0  # a busy machine is slow; only a failure waits so long
REPLIES = ("request", "event", "op", "result", "status")  # a field of the answer to a frame
QUICK = Timing(step_ms=5, answer_ms=0, publish_ms=0)
ID_CHARS_MIN = 4  # shorter ones might be a size
TAKEN_S = 0.3  # the venue answers a frame, if it does
UNSAID = "nothing came, or from in front of the venue"  # of `< 0` lines and pages of HTML


class Ear:
    """One connection: everything that was heard on it, in order, until it is matched."""

    def __init__(self, link: aiohttp.ClientWebSocketResponse) -> None:
        self.link = link
        self.heard: list[Any] = []
        self.news = asyncio.Event()
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for message in self.link:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            self.heard.append(decoded(message.data))
            self.news.set()

    async def close(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self.link.close()


def alike(said: Any, heard: Any) -> bool:
    """Whether two frames have the same envelope."""
    keys = said.keys() if isinstance(said, dict) else ()
    return isinstance(heard, dict) and all(name in heard for name in keys)


def decoded(text: str | bytes) -> Any:
    """JSON, or the text itself."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text.decode() if isinstance(text, bytes) else text


class TwinPlayer:
    """One conversation with one twin; the dialect plays along to name the requests."""

    def __init__(
        self,
        path: Path,
        http: aiohttp.ClientSession,
        running: RunningTwin,
        stage: Stage,
        tongue: Any,
    ) -> None:
        self.path = path
        self.stage, self.tongue = stage, tongue
        self.http = http
        self.running = running
        self.player = Player(*load(path.parent).dialect())
        self.ears: dict[str, Ear] = {}
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.known: dict[str, str] = {}  # ids of the transcript -> ids of the twin
        self.unsaid = ""
        self.repeats = 0
        self.compared = 0
        self.logged: set[str] = set()

    async def play(self) -> None:
        acts: dict[str, Callable[[str], Any]] = {
            "~": self.arrange,
            "!": self.excuse,
            ">": self.send,
            "<": self.compare,
        }
        for _, _, text in lines_of(self.path):
            if text.startswith("Login "):  # the conversation itself logs in there
                self.logged.add(text.split("socket=")[1])
        for number, sign, text in lines_of(self.path):
            try:
                if sign == ">":
                    self.request = self.player.sent[0]
                self.player.acts[sign](text)
                if sign in acts:
                    await acts[sign](text)
            except AssertionError as error:
                raise AssertionError(f"{self.path.name}:{number}: {error}") from None
        assert not self.unsaid, f"{self.path.name}: an excuse for nothing: {self.unsaid}"

    async def close(self) -> None:
        for ear in self.ears.values():
            await ear.close()

    # What the conversation does -----------------------------------------------------------------

    async def arrange(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        match word:
            case "call" | "plain":
                tag, method, path, *body = rest.split(" ", 3)
                await self.call(tag, method, path, "".join(body), signed=word == "call")
            case "send":
                socket, _, frame = rest.partition(" ")
                await self.frame(socket, frame)
            case "reopen" | "connect":
                if rest in self.ears:
                    await self.ears.pop(rest).close()
                self.logged.discard(rest)
                if word == "reopen":
                    self.logged.add(rest)
                await self.ear(rest)
            case "repeat":
                self.repeats = int(rest)
            case "forget":
                await asyncio.sleep(0.05)
                (await self.ear(rest)).heard.clear()
            case "born":
                pass  # see `played`
            case "eve":  # before anyone is connected: silent sockets are dropped
                await self.stage.do(text)
            case _:
                await self.ready()
                await self.stage.do(text)

    async def ready(self) -> None:
        """Whoever is heard later in the conversation listens before something happens."""
        for _, sign, text in lines_of(self.path):
            target = text.partition(" ")[0]
            if sign == "<" and not target.isdigit() and target not in self.logged:
                await self.ear(target)

    async def excuse(self, text: str) -> None:
        self.unsaid = text

    async def send(self, text: str) -> None:
        target, _, rest = text.partition(" ")
        await self.ready()
        for number in range(self.repeats, -1, -1):
            if self.request.socket:
                await self.frame(target, rest, number)
            else:
                path, _, body = rest.partition(" ")
                tag = f"{self.request.tag}#{number}" if number else self.request.tag
                await self.call(tag, target, path, body, request=self.request)
        self.repeats = 0

    async def frame(self, socket: str, text: str, number: int = 0) -> None:
        ear = await self.ear(socket)
        if text[:1] not in "[{":
            await ear.link.send_str(text)  # "ping" of a venue that does not wrap it
            return
        frame = msgspec.json.decode(self.translated(text))
        for name in ("id", "reqId"):  # questions of their own, where one is repeated
            if number and name in frame:
                frame[name] = f"repeat{number}"
        told = self.tongue.frame(socket, frame)
        ear.news.clear()
        await ear.link.send_str(msgspec.json.encode(told).decode())
        with contextlib.suppress(TimeoutError):  # what follows finds the frame taken
            await asyncio.wait_for(ear.news.wait(), TAKEN_S)
        await asyncio.sleep(0.01)

    async def call(
        self,
        tag: str,
        method: str,
        path: str,
        body: str = "",
        *,
        signed: bool = True,
        request: Request | None = None,
    ) -> tuple[int, Any]:
        signed = request.signed if request is not None else signed
        futures = path.startswith("futures:") or "futures" in (request.host if request else tag)
        path = path.removeprefix("futures:")
        path, body = self.translated(path), self.translated(body)
        path, headers = self.tongue.call(method, path, body, signed=signed)
        prefix = self.tongue.prefix(futures=futures)
        url = URL(self.running.rest + prefix + path, encoded=True)
        async with self.http.request(method, url, data=body, headers=headers) as answer:
            found = answer.status, decoded(await answer.read())
        self.answers.setdefault(tag, []).append(found)
        return found

    def translated(self, text: str) -> str:
        """A text of the conversation with the twin's ids where it names its own."""
        for said, heard in self.known.items():
            if len(said) >= ID_CHARS_MIN:
                text = re.sub(rf"(?<![\w-]){re.escape(said)}(?![\w-])", heard, text)
        return text

    async def ear(self, socket: str) -> Ear:
        ear = self.ears.get(socket)
        if ear is None:
            path = await self.tongue.path(socket, self.call)
            base = "" if path.startswith("ws:") else self.running.ws
            link = await self.http.ws_connect(URL(base + path, encoded=True))
            ear = self.ears[socket] = Ear(link)
            if socket not in self.logged:
                self.logged.add(socket)
                for frame in self.tongue.logins(socket):
                    before = replies(ear.heard)
                    await link.send_str(msgspec.json.encode(frame).decode())
                    await heard(ear, lambda n=before: replies(ear.heard) > n)  # type: ignore[misc]
        return ear

    # What the venue says ------------------------------------------------------------------------

    async def compare(self, text: str) -> None:
        target, _, rest = text.partition(" ")
        excused, self.unsaid = self.unsaid, ""
        row, excused = (excused, "") if excused.startswith("row ") else ("", excused)
        tag, _, body = rest.partition(" ") if target.isdigit() else ("", "", rest)
        if not excused and (target == "0" or not body or body.startswith("<")):
            excused = UNSAID
        if excused:
            return
        self.compared += 1
        if target.isdigit():
            said = decoded(body)
            if row:
                del said[int(row.split()[1].rstrip(":")) - 1]
            self.compare_answer(int(target), tag, said)
        else:
            await self.compare_frame(target, decoded(body))

    def compare_answer(self, status: int, tag: str, said: Any) -> None:
        answers = self.answers.get(tag)
        assert answers, f"the twin was never asked {tag}"
        found, heard = answers.pop()
        assert found == status, f"{tag}: HTTP {status}, twin {found} {str(heard)[:300]}"
        wrong = differences(said, heard, self.tongue.RULES)
        assert not wrong, f"{tag}: {'; '.join(wrong)} | twin {str(heard)[:600]}"
        self.learn(said, heard)

    async def compare_frame(self, socket: str, said: Any) -> None:
        ear = await self.ear(socket)
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_S
        while True:
            ear.news.clear()
            if self.found(ear, said):
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ear.news.wait(), max(0.0, until - loop.time()))
            if loop.time() >= until and not ear.news.is_set():
                break
        tries = [(differences(said, one, self.tongue.RULES), one) for one in ear.heard]
        tries.sort(key=lambda one: (not alike(said, one[1]), len(one[0]), "ode" in str(one[0])))
        wrong, nearest = tries[0] if tries else (["nothing heard"], "")
        others = [str(one)[:160] for one in ear.heard[-4:]]
        raise AssertionError(
            f"{socket}: {'; '.join(wrong)} | nearest {str(nearest)[:700]} | all {others}"
        )

    def found(self, ear: Ear, said: Any) -> bool:
        """The frame itself, or its rows each in a frame of its own."""
        for whole in [[said], self.parts(said)]:
            taken: list[int] = []
            for part in whole:
                for index, one in enumerate(ear.heard):
                    if index not in taken and not differences(part, one, self.tongue.RULES):
                        taken.append(index)
                        break
            if whole and len(taken) == len(whole):
                for part, index in zip(whole, taken, strict=True):
                    self.learn(part, ear.heard[index])
                for index in sorted(taken, reverse=True):
                    del ear.heard[index]
                return True
        return False

    def parts(self, said: Any) -> list[Any]:
        rows = said.get("data") if isinstance(said, dict) else None
        if not isinstance(rows, list) or len(rows) < 2 or not isinstance(rows[0], dict):
            return []
        return [{**said, "data": [row]} for row in rows]

    def learn(self, said: Any, heard: Any) -> None:
        """Which id of the twin stands where the transcript has its own."""
        if isinstance(said, dict) and isinstance(heard, dict):
            for name, value in said.items():
                if name in self.tongue.IDS and value and heard.get(name):
                    self.known[str(value)] = str(heard[name])
                self.learn(value, heard.get(name))
        elif isinstance(said, list) and isinstance(heard, list):
            for one, other in zip(said, heard, strict=False):
                self.learn(one, other)


def replies(heard: list[Any]) -> int:
    rows = [one for one in heard if isinstance(one, dict)]
    return sum(one.get("type") == "ack" or any(n in one for n in REPLIES) for one in rows)


async def heard(ear: Ear, enough: Callable[[], bool]) -> None:
    """Until enough was heard; a while at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not enough():
                ear.news.clear()
                await ear.news.wait()


async def played(path: Path) -> int:
    """Plays one conversation; how many of the venue's lines were compared."""
    module = load(path.parent, "twin_stage")
    births = [text.split()[1] for _, _, text in lines_of(path) if text.startswith("born ")]
    stage = Stage(path.parent.name, module.COIN_PRICE, int(births[0]) if births else 0)
    tongue = module.Tongue(stage)
    running = await serve(stage.twin, timing=QUICK)
    async with aiohttp.ClientSession() as http:
        player = TwinPlayer(path, http, running, stage, tongue)
        try:
            await player.play()
        finally:
            await player.close()
            await running.close()
    assert running.failures == 0
    return player.compared
