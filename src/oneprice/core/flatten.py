"""A flatten that a person wants: what of it is not done yet."""

from oneprice.core.groups import Groups
from oneprice.core.holdings import Holdings
from oneprice.core.orders import Orders


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
