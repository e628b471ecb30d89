"""Funding: at each instant, positions pay or receive by mark price and the rate of the time."""

from decimal import Decimal

from oneprice.model.units import MILLI, Side
from oneprice.twin.contract import FundingFixed, FundingRow, FundingSettled
from oneprice.twin.floor import Floor
from oneprice.twin.hall import Hall
from oneprice.twin.holdings import Place
from oneprice.twin.vault import Posting


def settle_due(hall: Hall, floor: Floor, at: int) -> None:
    """Every instant of an instrument that has come."""
    while floor.funding_due and floor.funding_due <= at:
        due, rate, mark = floor.funding_due, floor.funding_rate, floor.reference()
        for place in hall.holdings.open_places(floor.id):
            _settle_one(hall, floor, place, (due, rate, mark))
        row = FundingRow(instrument=floor.id, at=due, rate=rate, mark=mark)
        floor.funding_rows.append(row)
        interval = floor.instrument.funding_interval_ms * MILLI
        floor.funding_due = due + interval if interval else 0
        if floor.listing.extras.funding_ahead:
            floor.funding_rate = floor.funding_next  # from now on it does not move any more
        hall.emit(FundingFixed(row=row, next_due=floor.funding_due))


def _settle_one(
    hall: Hall, floor: Floor, place: Place, terms: tuple[int, Decimal, Decimal]
) -> None:
    due, rate, mark = terms
    key, _, index = place
    instrument = floor.instrument
    lots = hall.holdings.get(place).lots
    value = floor.value(mark, abs(lots))
    paid = value * rate if lots > 0 else -value * rate  # above zero: longs pay
    amount = hall.vault.rounded(-paid, instrument.settle)
    settled = FundingSettled(
        id=hall.docket.next_fill_id(),
        account=key,
        instrument=floor.id,
        position_index=index,
        lots=lots,
        rate=rate,
        mark=mark,
        value=value,
        amount=amount,
        asset=instrument.settle,
        at=due,
    )
    posting = Posting(
        kind="funding",
        funding=amount,
        instrument=floor.id,
        side=Side.BUY if lots > 0 else Side.SELL,
        price=mark,
        lots=abs(lots),
        position_lots=lots,
        rate=rate,
        fill_id=settled.id,
    )
    purse = (key, hall.solvency.wallet_of(instrument.market).name, instrument.settle)
    hall.vault.post(purse, posting, due)
    hall.vault.book_result(purse, amount)
    if hall.solvency.exposure.isolated(place):
        hall.holdings.add_margin(place, amount)  # an isolated position pays its own funding
    hall.holdings.add_funding(place, amount)
    hall.docket.add_funding(settled)
    hall.emit(settled)
