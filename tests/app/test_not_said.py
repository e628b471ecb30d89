"""A command that our own dialect cannot say concerns its order, and ends no run."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from house import House

from oneprice.model import commands as cmd
from oneprice.model.units import Nanos
from oneprice.venues.contract import Request


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(tmp_path / "session", monkeypatch)
    yield house
    await house.close()


def speechless(
    house: House, venue: str, kinds: tuple[type, ...], patch: pytest.MonkeyPatch
) -> None:
    """From now on a venue's dialect cannot say these commands."""
    assert house.running is not None
    trade = house.running.desk.dialect(venue).trade
    assert trade is not None
    encode = trade.encode

    def said(command: cmd.AnyCommand, at: Nanos) -> Sequence[Request]:
        if isinstance(command, kinds):
            raise ValueError("instrument was never listed")
        return encode(command, at)

    patch.setattr(trade, "encode", said)


async def test_an_order_that_cannot_be_said_is_refused_and_the_clutch_opens(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.open()
    speechless(house, "binance", (cmd.PlaceOrder,), monkeypatch)
    await house.trade()
    await house.ended()
    assert house.is_flat() and house.orders("binance") == []
    assert "not_said" in house.engine.clutch and "never listed" in house.engine.clutch
    summary = await house.finish()
    assert summary.failure == "" and summary.left == []
    house.money_agrees()


async def test_an_order_that_cannot_be_asked_for_opens_the_clutch_and_the_run_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.open()
    speechless(house, "binance", (cmd.QueryOrder, cmd.CancelOrder), monkeypatch)
    assert house.running is not None
    sent: list[cmd.PlaceOrder] = []
    trade = house.running.desk.dialect("binance").trade
    assert trade is not None
    encode = trade.encode

    def unheard(command: cmd.AnyCommand, at: Nanos) -> Sequence[Request]:
        if isinstance(command, cmd.PlaceOrder):
            sent.append(command)
            return ()  # lost on its way: nobody will ever answer
        return encode(command, at)

    monkeypatch.setattr(trade, "encode", unheard)
    await house.trade()
    await house.until(lambda: "cannot be asked for" in house.engine.clutch, 12)
    assert sent and sent[0].order_id in house.engine.clutch
    assert house.running.runtime.failure == ""
    assert not house.stop.is_set()
