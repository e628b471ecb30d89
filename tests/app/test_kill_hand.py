"""A hand of one's own ends orders and positions at every venue, by HTTP alone."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kill_stage import Stage

from oneprice.app.config import load_config
from oneprice.app.control_hand import Hand
from oneprice.model.commands import TimeInForce
from oneprice.model.settings import EngineSettings
from oneprice.model.units import Side
from oneprice.twin.contract import Kind, OrderRequest
from oneprice.venues.contract import Credentials

PERPS = {
    "bybit": "linear:BTCUSDT",
    "binance": "usdm:BTCUSDT",
    "okx": "swap:BTC-USDT-SWAP",
    "kucoin": "futures:XBTUSDTM",
    "bitmex": "derivatives:XBTUSDT",
}


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("venue", PERPS)
async def test_it_cancels_what_rests_and_closes_what_is_held(
    tmp_path: Path, venue: str, side: Side
) -> None:
    stage = Stage(tmp_path)
    await stage.open({venue: (PERPS[venue],)})
    try:
        twin, name = stage.twins[venue].twin, f"{venue}:{PERPS[venue]}"
        account = twin.exchange.accounts()[0]
        listed = next(x for x in twin.exchange.listings() if x.instrument.id == name).instrument
        for tif in (TimeInForce.IOC, TimeInForce.GTC):
            view = twin.exchange.book(name, 1)
            touch = (view.asks if side is Side.BUY else view.bids)[0][0]
            reach = touch // 200 if tif is TimeInForce.IOC else -touch // 50
            least = int(listed.notional_min * 2 / listed.notional(touch, 1)) + 1
            twin.exchange.place(
                OrderRequest(
                    account=account.key,
                    instrument=name,
                    side=side,
                    lots=max(least, 2 * int(listed.lots_min)),
                    kind=Kind.LIMIT,
                    ticks=touch + int(side) * reach,
                    time_in_force=tif,
                ),
                twin.clock(),
            )
        assert stage.resting == 1 and stage.held > 0
        keys = Credentials(account.key, account.secret, account.passphrase)
        chosen = load_config(stage.config).venues[0]
        hand = Hand(chosen, keys, EngineSettings())
        left = await hand.act(flatten=False, purse=None)
        assert left.answered and not left.orders and len(left.positions) == 1, left
        assert stage.resting == 0 and stage.held > 0 and len(hand.cancelled) == 1
        left = await hand.act(flatten=True, purse=None)
        assert left.answered and not left.positions and not left.trouble, left
        assert stage.held == 0 and len(hand.closed) == 1
        await hand.close()
    finally:
        await stage.close()
