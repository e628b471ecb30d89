"""A customer of a twin who does everything there is to do, at random."""

import random
from collections.abc import Callable
from decimal import Decimal

from oneprice.model.commands import TimeInForce
from oneprice.model.units import Side
from oneprice.twin.contract import Kind, OrderRequest, PriceUpdate, Refusal
from oneprice.twin.exchange import InnerExchange
from oneprice.twin.vault import OUTSIDE_KINDS

MS = 1_000_000


def bustle(
    exchange: InnerExchange, clock: Callable[[], int], seed: int, steps: int = 150
) -> dict[str, int]:
    """Trades, settles, is liquidated and deleveraged, moves money; how often each kind.

    In the end one derivative is delisted with what is held of it.
    """
    dice, key = random.Random(seed), exchange.accounts()[0].key
    names = list(exchange.floors)
    done: dict[str, int] = {}
    for _ in range(steps):
        name = dice.choice(names)
        act = dice.choices(
            (_trade, _settle, _liquidate, _deleverage, _move), (60, 10, 6, 6, 18)
        )[0]
        try:
            act(exchange, dice, key, name, clock())
            done[act.__name__] = done.get(act.__name__, 0) + 1
        except Refusal:
            continue  # no money, no position, too small: what a venue says all day
    derivatives = [name for name in names if exchange.floors[name].instrument.is_derivative]
    last = derivatives[0]
    _trade(exchange, dice, key, last, clock())
    exchange.delist(last, clock())
    return done


def _trade(
    exchange: InnerExchange, dice: random.Random, key: str, name: str, at: int
) -> None:
    instrument = exchange.floors[name].instrument
    view = exchange.book(name, 1)
    side = dice.choice(list(Side))
    touch = (view.asks if side is Side.BUY else view.bids)[0][0]
    one = instrument.notional(touch, 1)
    lots = max(int(Decimal(dice.randint(20, 3000)) / one), int(instrument.lots_min))
    resting = dice.random() < 0.3
    exchange.place(
        OrderRequest(
            account=key,
            instrument=name,
            side=side,
            lots=lots,
            kind=Kind.LIMIT,
            ticks=touch - int(side) * (touch // 500 if resting else -touch // 500),
            time_in_force=TimeInForce.GTC if resting else TimeInForce.IOC,
        ),
        at,
    )


def _settle(
    exchange: InnerExchange, dice: random.Random, key: str, name: str, at: int
) -> None:
    if not exchange.floors[name].instrument.funding_interval_ms:
        raise Refusal("bad_request", f"{name} pays no funding")
    rate = Decimal(dice.randint(-300, 300)) / 100_000
    due = at + 1
    exchange.apply(PriceUpdate(instrument=name, funding_rate=rate, funding_due=due), at)
    exchange.advance(due + 1)


def _liquidate(
    exchange: InnerExchange, dice: random.Random, key: str, name: str, at: int
) -> None:
    exchange.force_liquidation(key, name, 0, at)


def _deleverage(
    exchange: InnerExchange, dice: random.Random, key: str, name: str, at: int
) -> None:
    exchange.force_adl(key, name, dice.randint(1, 50), at)


def _move(exchange: InnerExchange, dice: random.Random, key: str, name: str, at: int) -> None:
    instrument, kind = exchange.floors[name].instrument, dice.choice(OUTSIDE_KINDS)
    wallet = exchange.wallet_of(instrument.market)
    amount = Decimal(dice.randint(1, 10**6)) / 10**8
    if kind in ("interest", "correction") and dice.random() < 0.5:
        amount = -amount
    exchange.move_money(key, instrument.settle, amount, kind, at, wallet=wallet)
