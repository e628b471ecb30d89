# Part of _native.pyx: walking two books in 128-bit integers.

# Below these bounds ticks * tick value * (10^9 + cost) stays below 10^37, a 128-bit integer
# holds 1.7 * 10^38. Larger facts are judged in Python's integers.
cdef object _VALUE_LIMIT = 10**12
cdef object _COST_LIMIT = 9 * 10**9


cdef object _integer(i128 value):
    # Only for values >= 0.
    return (<object><uint64_t>(value >> 64) << 64) | <uint64_t>value


def sweep(
    Book buy not None,
    Book sell not None,
    *,
    buy_lots_per_step,
    sell_lots_per_step,
    buy_tick_value,
    sell_tick_value,
    cost_ppb,
    steps_max,
):
    """Buy from the asks of `buy`, sell to the bids of `sell`, until a step earns less than cost.

    See `oneprice.kernel.reference.sweep`, whose result this is.
    """
    if min(buy_lots_per_step, sell_lots_per_step, buy_tick_value, sell_tick_value) < 1:
        raise ValueError("sweep: lots per step and tick values are positive")
    if max(buy_lots_per_step, sell_lots_per_step) > LOTS_MAX:
        raise ValueError(f"sweep: lots per step are at most {LOTS_MAX}")
    if cost_ppb <= -1_000_000_000:
        raise ValueError(f"sweep: cost_ppb is above -{10**9}, found {cost_ppb}")
    if not buy.known or not sell.known or steps_max < 1:
        return None
    cdef int64_t buy_step = buy_lots_per_step
    cdef int64_t sell_step = sell_lots_per_step
    cdef int64_t limit = min(steps_max, LOTS_MAX)
    cdef bint wide = max(buy_tick_value, sell_tick_value) > _VALUE_LIMIT or cost_ppb > _COST_LIMIT
    cdef int64_t buy_value = 0 if wide else buy_tick_value
    cdef int64_t sell_value = 0 if wide else sell_tick_value
    cdef int64_t cost = 0 if wide else 1_000_000_000 + cost_ppb
    cdef int64_t steps = 0, reach, buy_at = 0, sell_at = 0, buy_limit = 0, sell_limit = 0
    cdef i128 buy_seen = 0, sell_seen = 0, buy_steps = 0, sell_steps = 0
    cdef Py_ssize_t i = buy._asks.size - 1
    cdef Py_ssize_t j = sell._bids.size - 1
    cdef bint earns
    while steps < limit:
        while buy_steps <= steps and i >= 0:
            buy_at = -buy._asks.level[i].key
            buy_seen += buy._asks.level[i].lots
            buy_steps = buy_seen / buy_step
            i -= 1
        while sell_steps <= steps and j >= 0:
            sell_at = sell._bids.level[j].key
            sell_seen += sell._bids.level[j].lots
            sell_steps = sell_seen / sell_step
            j -= 1
        reach = limit
        if buy_steps < reach:
            reach = <int64_t>buy_steps
        if sell_steps < reach:
            reach = <int64_t>sell_steps
        if reach <= steps:
            break
        if wide:
            earns = sell_at * sell_tick_value * 10**9 >= (
                buy_at * buy_tick_value * (10**9 + cost_ppb)
            )
        else:
            earns = <i128>sell_at * sell_value * 1_000_000_000 >= (
                <i128>buy_at * buy_value * cost
            )
        if not earns:
            break
        steps = reach
        buy_limit = buy_at
        sell_limit = sell_at
    if not steps:
        return None
    bought, _ = buy.cost(1, steps * buy_lots_per_step)
    sold, _ = sell.cost(-1, steps * sell_lots_per_step)
    return Sweep(steps, buy_limit, sell_limit, bought, sold)
