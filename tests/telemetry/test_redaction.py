"""Redaction, proven: a whole run full of misfortune leaves no key, secret or token anywhere.

Twins whose keys are known are traded with; venues repeat our headers in their errors, refuse our
signatures, cut our sockets; our own code breaks with secrets in hand. Then everything that was
written or served is searched: session files and what is packed in them, logs, pages, alerts.
"""

import asyncio
import base64
import io
import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
import structlog
from aiohttp import web
from house import House
from listening import Ear, free_port

from oneprice.app.config import TelemetrySettings
from oneprice.app.parity import replay
from oneprice.app.session import JOURNAL, load_manifest
from oneprice.model import events as ev
from oneprice.shell.desk import InputKind
from oneprice.shell.telemetry_log import configure_logs
from oneprice.store.segments import read_journal
from oneprice.store.tape import read_tape
from oneprice.twin import server
from oneprice.venues.contract import Answer
from oneprice.venues.signing import Signer

LEGS = {
    "binance": "binance:usdm:BTCUSDT",
    "bybit": "bybit:linear:BTCUSDT",
    "okx": "okx:swap:BTC-USDT-SWAP",
    "kucoin": "kucoin:futures:XBTUSDTM",
    "bitmex": "bitmex:derivatives:XBTUSDT",
}
PAIRS = {  # bought, sold, how orders are sent
    "usdm-linear": ("binance", "bybit", "rest"),
    "usdm-linear-sockets": ("binance", "bybit", "ws"),
    "swap-futures": ("okx", "kucoin", "rest"),
    "derivatives-swap": ("bitmex", "okx", "rest"),
}


class Loud:
    """Stands before the twins: remembers what proves us, and repeats it when told to."""

    def __init__(self) -> None:
        self.shouting = False
        self.shouted = 0
        self.tokens: set[str] = set()

    def around(self, inner: object) -> object:
        @web.middleware
        async def heard(request: web.Request, handler: object) -> web.StreamResponse:
            signed = "sign" in f"{request.query_string}{request.headers}".lower()
            if self.shouting and signed and "Upgrade" not in request.headers:
                self.shouted += 1
                return self._shout(request, await request.text())
            response = await inner(request, handler)  # type: ignore[operator]
            body = getattr(response, "body", None)
            if isinstance(body, bytes) and body[:1] == b"{":
                self._remember(json.loads(body))
            return response

        return heard

    def _shout(self, request: web.Request, body: str) -> web.Response:
        said = f"error sign! origin_string[{dict(request.headers)} {request.query_string} {body}]"
        words = {
            "retCode": 10004, "retMsg": said, "code": "-1022", "msg": said,
            "error": {"message": said, "name": "HTTPError"}, "data": [], "result": {},
        }  # fmt: skip
        headers = {"X-Echo": request.headers.get("User-Agent", "")}
        return web.json_response(words, status=400, headers=headers)

    def _remember(self, value: object) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name in ("listenKey", "token") and isinstance(inner, str) and inner:
                    self.tokens.add(inner)
                self._remember(inner)
        elif isinstance(value, list):
            for inner in value:
                self._remember(inner)


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> Loud:
    loud, made = Loud(), server._middleware
    monkeypatch.setattr(server, "_middleware", lambda running: loud.around(made(running)))
    return loud


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every signature that was made."""
    found: set[str] = set()
    for name in ("hex", "base64"):
        made = getattr(Signer, name)

        def sign(self: Signer, text: object, made: object = made) -> str:
            signature: str = made(self, text)  # type: ignore[operator]
            found.add(signature)
            return signature

        monkeypatch.setattr(Signer, name, sign)
    return found


@pytest.fixture
def told(tmp_path: Path) -> Iterator[io.StringIO]:
    before, out = structlog.get_config(), io.StringIO()
    configure_logs(logging.DEBUG, out, "console", str(tmp_path / "log.json"))
    yield out
    structlog.configure(**before)


@pytest.fixture
async def houses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[House]]:
    made: list[House] = []
    yield made
    for house in made:
        await house.close()


def secrets_of(house: House) -> list[str]:
    found: list[str] = []
    for twin in house.twins.values():
        account = twin.twin.exchange.accounts()[0]
        found += [word for word in (account.key, account.secret, account.passphrase) if word]
    return found


def unpacked(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Everything on disk, raw and as it is read."""
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        yield str(path), path.read_bytes()
        if path.suffix == ".tape":
            for number, record in enumerate(read_tape(path)):
                yield f"{path.name} {number} {record.source}", record.payload
                if record.kind == InputKind.ANSWER:
                    answer = msgspec.json.decode(record.payload, type=Answer)
                    yield f"{path.name} {number} {answer.tag} body", answer.body
                    yield f"{path.name} {number} headers", repr(answer.headers).encode()
    for number, entry in enumerate(read_journal(directory / "session" / JOURNAL)):
        yield f"journal {number}", entry


def forms(secret: str) -> list[bytes]:
    packed = [base64.b64encode(b"x" * shift + secret.encode())[4:-4] for shift in range(3)]
    words = {secret.encode(), quote(secret, safe="").encode(), *packed}
    return [word for word in words if len(word) >= 8]


async def page(port: int, path: str) -> bytes:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return await answer.read()


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_run_full_of_misfortune_leaves_no_secret_anywhere(  # noqa: PLR0917
    pair: str,
    houses: list[House],
    loud: Loud,
    signatures: set[str],
    told: io.StringIO,
    ear: Ear,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ONEPRICE_ALERTS", f"json://127.0.0.1:{ear.port}")
    bought, sold, entry = PAIRS[pair]
    house = House(tmp_path / "session", monkeypatch, (LEGS[bought], LEGS[sold]))
    houses.append(house)
    port = free_port()
    telemetry = TelemetrySettings(port=port, alerts_per_minute=100, alerts_per_hour=1000)
    await house.open(entry=entry, telemetry=telemetry)
    running = house.running
    assert running is not None
    with_errors: list[bytes] = []

    # Venues that repeat what proves us, to orders and to questions.
    loud.shouting = True
    await trade_anyway(house)
    cut(house)
    await house.until(lambda: loud.shouted >= 2)
    for path in ("/metrics", "/readyz", "/healthz"):
        with_errors.append(await page(port, path))
    loud.shouting = False

    # Sockets cut, all of them, doors and logins anew.
    cut(house)
    await asyncio.sleep(0.5)

    # Our own code breaks with everything in its hands.
    keys = secrets_of(house)
    house.break_on(ev.StopRequested, ValueError(f"cannot stop: {keys} were used"))
    running.runtime.fail("signing", RuntimeError(f"signature of {keys[1]} with {keys[0]}"))
    with_errors.append(await page(port, "/readyz"))
    summary = await house.over()
    assert loud.shouted >= 2 and len(signatures) >= 4
    assert "signature of" in summary.failure

    streams = capfd.readouterr()
    everywhere = [
        *unpacked(tmp_path),
        ("console", told.getvalue().encode()),
        ("standard output", streams.out.encode()),
        ("standard error", streams.err.encode()),
        ("library logs", caplog.text.encode()),
        ("summary", msgspec.json.encode(summary)),
        *((f"page {n}", text) for n, text in enumerate(with_errors)),
        *((f"alert {n}", body) for n, body in enumerate(ear.bodies)),
    ]
    assert any(b"error sign" in text for _, text in everywhere), "what the venues said is kept"
    assert len(ear.bodies) >= 1 and len(everywhere) > 50
    searched = {form: word for word in [*keys, *signatures, *loud.tokens] for form in forms(word)}
    found = {
        f"{searched[form]} in {where}"
        for where, text in everywhere
        for form in searched
        if form in text
    }
    assert found == set()


def cut(house: House) -> None:
    for twin in house.twins.values():
        for transport in list(twin.transports):
            transport.abort()


async def trade_anyway(house: House) -> None:
    try:
        await house.trade(seconds=2)
    except TimeoutError:
        return
    await asyncio.sleep(0.5)


async def test_what_was_taken_out_of_a_tape_is_not_missed_by_its_replay(
    houses: list[House], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path / "session", monkeypatch, (LEGS["okx"], LEGS["bitmex"]))
    houses.append(house)
    await house.open(strategies=("cross_exchange",))
    cut(house)
    await asyncio.sleep(1.0)
    await house.finish()
    told = b"".join(text for _, text in unpacked(tmp_path))
    assert b"***" in told, "a venue repeats our key when it is asked what the key may do"
    session = tmp_path / "session"
    ours = keys_told(replay(session, load_manifest(session)))
    theirs = keys_told(read_journal(session / JOURNAL))
    assert {key["venue"] for key in theirs} == {"okx", "bitmex"} and ours == theirs


def keys_told(entries: Iterable[bytes]) -> list[dict[str, object]]:
    """What the venues said of our keys, where the tape no longer has them."""
    return [
        fact
        for entry in entries
        for fact in msgspec.json.decode(entry)[1]
        if fact["type"] == "KeyReported"
    ]
