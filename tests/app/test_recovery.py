"""Recovery on real sockets: the trader is killed, its twins live on, the next start is safe."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from street import SENT, UNWINDING, Street, all_is_well

from oneprice.app.parity import compare


@pytest.fixture
async def street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    street = Street(tmp_path, monkeypatch)
    await street.open()
    yield street
    await street.close()


# Where a trader dies, one after the other in one session: around the write that must precede an
# order, in the middle of that write, and with the answers of the venues on their way.
DEATHS = [
    ("before", SENT, 1),
    ("half", SENT, 1),
    ("after", SENT, 2),
    ("half", '"type":"OrderFilled"', 2),
]


async def test_killed_again_and_again_around_its_writes_the_last_start_ends_all_of_it(
    street: Street,
) -> None:
    for death in DEATHS:
        await street.killed(death)
        ids = [order.client_id for order in street.orders()]
        assert len(ids) == len(set(ids)), "an order was sent twice"
    summary, complaint = await street.resumed()
    all_is_well(street, summary, complaint)
    assert summary["start"] == len(DEATHS) + 1
    parity = compare(street.session)
    assert parity.first_difference is None and parity.starts == len(DEATHS) + 1
    assert parity.equal == parity.decisions > 20


async def test_killed_while_a_missed_leg_is_given_back_the_next_start_gives_it_back(
    street: Street,
) -> None:
    street.refuse_some("binance", 0.8)
    await street.killed(("after", UNWINDING, 1))
    await street.killed(("before", SENT, 1))
    summary, complaint = await street.resumed()
    all_is_well(street, summary, complaint)
    assert summary["groups"]["FLAT"] > 0


async def test_killed_at_any_moment_the_next_start_is_safe(street: Street) -> None:
    dice = random.Random(4)
    for _ in range(2):
        known = len(street.orders())
        trader = await street.start()
        async with asyncio.timeout(40):
            while len(street.orders()) == known:
                await asyncio.sleep(0.01)
        await asyncio.sleep(dice.uniform(0, 1.5))
        trader.kill()
        await trader.communicate()
    summary, complaint = await street.resumed()
    all_is_well(street, summary, complaint)
