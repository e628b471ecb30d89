"""A kill or a flatten that a person wants: what it ends, and what of it is not done yet."""

from oneprice.core.groups import Groups
from oneprice.core.holdings import Holdings
from oneprice.core.orders import Orders
from oneprice.model.commands import AnyCommand, CancelOrder
from oneprice.model.units import Nanos


def all_there_is(groups: Groups, orders: Orders, holdings: Holdings) -> str:
    """What a kill meets, in words."""
    counts = len(orders.unsettled()), len(groups.living), len(holdings.of(""))
    return "{} orders, {} groups, {} holdings".format(*counts)


def end_all(groups: Groups, orders: Orders, at: Nanos) -> list[AnyCommand]:
    """Nothing goes forward, and every order is cancelled and asked for."""
    unsettled = orders.unsettled()
    commands = groups.pull_all()
    for order in unsettled:
        if not order.settled and not order.asking:
            commands.append(CancelOrder(order_id=order.id, instrument=order.instrument))
            commands += orders.ask(order, at)
    return commands


def left_to_flatten(groups: Groups, orders: Orders, holdings: Holdings) -> str:
    """What still works towards it, in words; "" where all is done or was given up: what no exit
    could end is in a person's hands."""
    held = [
        holding.id
        for holding in holdings.of("")
        if any(leg.lots for leg in holding.legs) and not holdings.is_given_up(holding.id)
    ]
    parts = [f"holding {name}" for name in held]
    parts += [f"group {name} at work" for name in groups.living]
    loose = [order.id for order in orders.unsettled() if order.group not in groups.living]
    parts += [f"order {name} of unknown outcome" for name in loose]
    return ", ".join(parts)
