"""A trader as a process: opens one hedge where it is told to, then lets an order rest everywhere.

python kill_trader.py CONFIG SESSION [hedge BUY SELL] -- writes SESSION.ready when all is there.
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from house import COINS, Hedge, HedgeSettings

from oneprice.app.build import STRATEGIES
from oneprice.app.checks import check_run
from oneprice.app.config import load_config
from oneprice.app.run import Running, run, start, stop_on_signals
from oneprice.app.session import session_name
from oneprice.app.summary import Summary
from oneprice.cli.speech import quiet_logs
from oneprice.model.commands import PlaceOrder, TimeInForce
from oneprice.model.units import Lots, Side, Ticks


class Play:
    """Called a few times a second by the run."""

    def __init__(self, ready: Path, hedge: Hedge | None) -> None:
        self.ready = ready
        self.hedge = hedge
        self.rests = False

    def look(self, running: Running) -> None:
        if running.phase != "trading" or self.rests:
            return
        engine = running.desk.engine
        if self.hedge is not None and not engine.report.holdings():
            self._want(running, self.hedge)
            return
        if self.hedge is not None:
            self.hedge.wanted = False
        if engine.report.groups() or not all(engine._accounts.markets.values()):
            return
        if not engine._accounts.markets:
            return
        self.rests = True
        for gateway in running.gateways:
            _rest(running, gateway.name)
        self.ready.write_text("ready")

    def _want(self, running: Running, hedge: Hedge) -> None:
        engine = running.desk.engine
        for leg in (hedge.buys, hedge.sells):
            listed = engine._market.instrument(leg)
            if listed is not None:
                hedge.lots[leg] = int(COINS / (listed.lot * listed.contract_value))
        hedge.wanted = True
        engine._moved[hedge.buys] = None
        engine._wake.news = True
        running.runtime.poke(running.runtime.clock.now())


def _rest(running: Running, venue: str) -> None:
    """One order of this account, as if of a quoter: far below the touch, good till cancelled."""
    dialect = running.desk.dialect(venue)
    assert dialect.trade is not None
    for instrument, book in dialect.feed.books.items():
        listed = running.desk.engine._market.instrument(instrument)
        if not book.known or listed is None:
            continue
        at = running.runtime.clock.now()
        ticks = book.bid_ticks * 98 // 100
        least = int(listed.notional_min * 2 / listed.notional(ticks, 1)) + 1
        order = PlaceOrder(
            order_id=f"{session_name(at)}r{sum(instrument.encode())}",
            group="rest",
            instrument=instrument,
            side=Side.BUY,
            ticks=Ticks(ticks),
            lots=Lots(max(least, int(listed.lots_min))),
            time_in_force=TimeInForce.GTC,
        )
        for request in dialect.trade.encode(order, at):
            running.runtime.dispatch(venue, request)


def main() -> None:
    config, session = Path(sys.argv[1]), Path(sys.argv[2])
    hedge = Hedge((sys.argv[4], sys.argv[5])) if sys.argv[3:4] == ["hedge"] else None
    STRATEGIES["hedge"] = (lambda _: hedge or Hedge(), HedgeSettings)  # type: ignore[assignment]
    chosen = load_config(config)
    check_run(chosen)
    quiet_logs()
    play = Play(session.with_suffix(".ready"), hedge)

    async def work() -> Summary:
        stop = asyncio.Event()
        stop_on_signals(stop)
        return await run(chosen, session, stop=stop, look=play.look)

    start(work)


if __name__ == "__main__":
    main()
