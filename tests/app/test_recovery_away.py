"""A venue is missing when a session is resumed: what is open at the others is ended."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from street import SENT, UNWINDING, Street, all_is_well

from oneprice.app.drills.hedge import enlisted
from oneprice.app.drills.kills import _killed
from oneprice.app.drills.stage import Place, Stage, pair_of
from oneprice.app.parity import compare, replay
from oneprice.app.run import Running, run
from oneprice.app.session import journal_entries, starts_of
from oneprice.app.summary import Summary
from oneprice.core.strategy import Recovered
from oneprice.twin.contract import Order, OrderRequest
from oneprice.twin.records import Refusal


@pytest.fixture
async def street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    street = Street(tmp_path, monkeypatch)
    await street.open()
    yield street
    await street.close()


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


class Words:
    """What a trader complains of while it runs."""

    def __init__(self, trader: Any) -> None:
        self.text = ""
        self._trader = trader
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for line in self._trader.stderr:
            self.text += line.decode()

    async def end(self, seconds: float = 60) -> tuple[int, dict[str, Any]]:
        out = await asyncio.wait_for(self._trader.stdout.read(), seconds)
        await asyncio.gather(self._task, self._trader.wait())
        return self._trader.returncode, json.loads(out) if out else {}


class Resumed:
    """A trader in this process that resumes a stage's session, and what it told."""

    def __init__(self, stage: Stage) -> None:
        self.words: list[str] = []
        self.running: Running | None = None
        self.recovered: Recovered | None = None
        self.stop = asyncio.Event()
        self._stage = stage
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> Summary:
        with enlisted(self._stage.hedge):
            return await run(
                self._stage.config(record=True), self._stage.session, stop=self.stop,
                look=self._see, recovered=self._sure, tell=self.words.append,
            )  # fmt: skip

    def _see(self, running: Running) -> None:
        self.running = running

    def _sure(self, outcome: Recovered) -> None:
        self.recovered = outcome

    def told(self, text: str) -> bool:
        return any(text in word for word in self.words)

    async def end(self, seconds: float = 30) -> Summary:
        self.stop.set()
        return await asyncio.wait_for(self._task, seconds)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path, pair_of(("bybit", "binance")))
    await stage.open()
    yield stage
    await stage.close()


async def an_orphan_leg(stage: Stage) -> None:
    """Killed when the other venue has refused its leg, before this one is given back."""
    refusing = [True]

    def placed(request: OrderRequest, place: Place) -> Order:
        if refusing:
            raise Refusal("insufficient_margin", "drill")
        return place()

    stage.on_place(stage.struck, placed)
    await _killed(stage, "after", UNWINDING)
    refusing.clear()
    assert stage.lots(stage.calm) and not stage.lots(stage.struck)


async def test_an_orphan_leg_is_given_back_while_the_other_venue_is_missing_and_all_agree_later(
    stage: Stage,
) -> None:
    await an_orphan_leg(stage)
    await stage.down(stage.struck)
    trader = Resumed(stage)
    await until(stage.is_flat)
    assert trader.told("binance is missing") and trader.recovered is None
    stage.hedge.wanted = True
    sent = len(stage.orders(stage.calm))
    await asyncio.sleep(1)
    assert len(stage.orders(stage.calm)) == sent, "nothing new while a venue is missing"
    stage.hedge.wanted = False
    await stage.up(stage.struck)
    await until(lambda: trader.recovered is not None)
    assert trader.told("binance is there")
    summary = await trader.end()
    assert not [what for what in summary.missing if what.startswith("venue ")]
    assert summary.recovery is not None
    assert not summary.recovery.differences and summary.left == []
    assert summary.clutch == "closed" and not summary.failure
    second = starts_of(stage.session)[-1]
    with enlisted(stage.hedge):
        replayed = list(replay(stage.session, second))
    assert replayed == list(journal_entries(stage.session, second.start))


async def test_a_start_that_is_told_to_end_does_not_wait_for_who_is_missing(stage: Stage) -> None:
    await _killed(stage, "half", '"type":"OrderFilled"')
    await stage.down(stage.struck)
    trader = Resumed(stage)
    await until(lambda: trader.told("what is open at the others"))
    summary = await trader.end(12)
    assert [m.partition(":")[0] for m in summary.missing] == ["venue binance"]
    assert summary.left, "what cannot be known is named"


async def test_an_order_at_the_missing_venue_is_neither_given_up_nor_sent_again(
    street: Street,
) -> None:
    await street.killed(("after", SENT, 1))
    await street.down("binance")
    trader = await street.start("--for", "10s")
    words = Words(trader)
    await until(lambda: "what is open at the others is ended" in words.text)
    await asyncio.sleep(1)
    trader.kill()
    await words.end()
    trader = await street.start("--for", "8s")  # killed in its recovery, and once more
    words = Words(trader)
    await until(lambda: "what is open at the others is ended" in words.text)
    await asyncio.sleep(0.5)
    trader.kill()
    await words.end()
    await street.up("binance")
    summary, complaint = await street.resumed()
    all_is_well(street, summary, complaint)
    parity = compare(street.session)
    assert parity.first_difference is None, parity


async def test_a_polite_end_is_obeyed_while_every_venue_is_missing(street: Street) -> None:
    await street.killed(("after", SENT, 1))
    for venue in street.twins:
        await street.down(venue)
    words = Words(trader := await street.start("--for", "100s"))
    await until(lambda: all(f"{venue} is missing" in words.text for venue in street.twins))
    trader.send_signal(signal.SIGTERM)
    status, summary = await words.end(12)
    assert status == 1
    named = [missing.partition(":")[0] for missing in summary["missing"]]
    assert sorted(named) == ["venue binance", "venue bybit"]


async def test_a_first_start_that_cannot_reach_a_venue_says_which_and_ends(street: Street) -> None:
    await street.down("binance")
    words = Words(await street.start("--for", "100s"))
    status, summary = await words.end(30)
    assert status == 1 and not summary
    assert "binance: no answer from http://" in words.text and "is missing" not in words.text


async def test_a_kill_is_obeyed_while_a_venue_is_missing_and_names_it(street: Street) -> None:
    await street.killed(("after", SENT, 1))
    await street.down("binance")
    words = Words(trader := await street.start("--for", "100s"))
    await until(lambda: "what is open at the others is ended" in words.text)
    killer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "oneprice.cli.main", "kill", "--session", str(street.session),
        "--wait", "4s", "--reason", "drill",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, complaint = await asyncio.wait_for(killer.communicate(), 30)
    assert killer.returncode == 1, "not every venue has said that nothing is left"
    assert "binance" in out.decode() and "NOT verified" in complaint.decode()
    assert trader.returncode is None, "the trader goes on"
    await street.up("binance")
    await until(lambda: "resumed after" in words.text, 40)
    assert street.positions() == {}
    trader.send_signal(signal.SIGTERM)
    _, summary = await words.end(30)
    assert summary["clutch"].startswith("killed: drill") and not summary["failure"]
