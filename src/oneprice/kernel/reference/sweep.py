"""How many steps of a common size still earn when two books are walked level by level."""

from __future__ import annotations

from oneprice.kernel.contract import LOTS_MAX, Sweep
from oneprice.kernel.reference.book import Book

PPB = 10**9


def sweep(  # noqa: PLR0913 - two books and the six facts of their common size
    buy: Book,
    sell: Book,
    *,
    buy_lots_per_step: int,
    sell_lots_per_step: int,
    buy_tick_value: int,
    sell_tick_value: int,
    cost_ppb: int,
    steps_max: int,
) -> Sweep | None:
    """Buy from the asks of `buy`, sell to the bids of `sell`, until a step earns less than cost.

    A step is `buy_lots_per_step` there and `sell_lots_per_step` here. It is taken while
    sell price * 10^9 >= buy price * (10^9 + cost_ppb), a price being ticks * tick value in one
    integer unit; a step that straddles levels counts at the worst of them. Exact integers. None
    when nothing earns it or a book is not known. ValueError when a size or value is out of range.
    """
    if min(buy_lots_per_step, sell_lots_per_step, buy_tick_value, sell_tick_value) < 1:
        raise ValueError("sweep: lots per step and tick values are positive")
    if max(buy_lots_per_step, sell_lots_per_step) > LOTS_MAX:
        raise ValueError(f"sweep: lots per step are at most {LOTS_MAX}")
    if cost_ppb <= -PPB:
        raise ValueError(f"sweep: cost_ppb is above -{PPB}, found {cost_ppb}")
    if not buy.known or not sell.known:
        return None
    steps_max = min(steps_max, LOTS_MAX)
    asks, bids = iter(buy.asks()), iter(sell.bids())
    steps = buy_steps = sell_steps = 0
    buy_seen = sell_seen = buy_at = sell_at = buy_limit = sell_limit = 0
    while steps < steps_max:
        while buy_steps <= steps and (level := next(asks, None)):
            buy_at = level[0]
            buy_seen += level[1]
            buy_steps = buy_seen // buy_lots_per_step
        while sell_steps <= steps and (level := next(bids, None)):
            sell_at = level[0]
            sell_seen += level[1]
            sell_steps = sell_seen // sell_lots_per_step
        reach = min(buy_steps, sell_steps, steps_max)
        earned = sell_at * sell_tick_value * PPB
        if reach <= steps or earned < buy_at * buy_tick_value * (PPB + cost_ppb):
            break
        steps, buy_limit, sell_limit = reach, buy_at, sell_at
    if not steps:
        return None
    buy_value, _ = buy.cost(1, steps * buy_lots_per_step)
    sell_value, _ = sell.cost(-1, steps * sell_lots_per_step)
    return Sweep(steps, buy_limit, sell_limit, buy_value, sell_value)
