"""The watch: what must hold at every turn, right after it was journaled, before it leaves."""

import msgspec

from oneprice.app.world.plan import Plan
from oneprice.app.world.quarter import Quarter, Venue
from oneprice.app.world.trader import Trader
from oneprice.app.world.violations import Findings
from oneprice.core.strategy import ClutchOpened, GroupMoved, Intent, IntentJudged
from oneprice.model.commands import PlaceOrder
from oneprice.model.instrument import Instrument, split_id
from oneprice.model.units import BPS, MILLI, SECOND, ZERO, InstrumentId, Money, Nanos
from oneprice.shell.desk import Turn

SLACK_NS = SECOND  # beyond a deadline: turns take their time, a slow disk too
PRICE_SLACK = 1 + 100 * BPS  # prices move between a decision and this look at it
ENDS = ("HEDGED", "FLAT", "STUCK")


class _Watched(msgspec.Struct):
    """A living group: its state, since when, and what it has sent."""

    intent: Intent
    state: str
    since: Nanos
    orders: int = 0


class Watch:
    """Follows the decisions of our process, whichever start of it."""

    def __init__(self, plan: Plan, quarter: Quarter, findings: Findings) -> None:
        self.clutch = ""
        self.hedged = 0  # groups that ended so, ever
        self._plan = plan
        self._quarter = quarter
        self._hold = findings.hold
        self._groups: dict[str, _Watched] = {}
        self._begun: list[Nanos] = []
        self._wished: dict[str, None] = {}

    def started(self) -> None:
        """A new process: what the old one had in its hands is the new one's business."""
        self._groups.clear()
        self._begun.clear()
        self.clutch = ""

    def turn(self, turn: Turn, trader: Trader) -> None:
        explained: dict[str, str] = {}  # groups that may send in this turn, and why
        for decision in turn.decisions:
            match decision:
                case IntentJudged() if decision.group:
                    explained[decision.group] = ""
                    self._approved(decision)
                case GroupMoved():
                    if decision.action in ("SEND_MISSING", "SEND_BACK"):
                        explained[decision.group] = decision.action
                    self._moved(decision)
                case ClutchOpened():
                    self.clutch = decision.reason
        for command in turn.commands:
            if isinstance(command, PlaceOrder):
                self._order(command, explained, trader)
        self._deadlines(turn.at)
        residual = trader.desk.engine.report.residual()
        self._hold("causes_add_up", residual == 0, f"residual {residual}")

    # Intents -------------------------------------------------------------------------------

    def _approved(self, verdict: IntentJudged) -> None:
        intent = verdict.intent
        self._groups[verdict.group] = _Watched(intent, "WORKING", verdict.at)
        if intent.closes:
            return
        self._hold("only_reducing", not self.clutch, f"{verdict.group}: {self.clutch}")
        self._begun.append(verdict.at)
        limits = self._plan.config.engine.gate
        lately = [at for at in self._begun if at > verdict.at - SECOND]
        pace = len(lately) <= limits.groups_per_second_max
        self._hold("limit_pace", pace, f"{len(lately)} groups in a second")
        for leg in intent.legs:
            listed = self._listed(leg.instrument)
            notional = listed.notional(max(leg.ticks, leg.touch), leg.lots)
            most = limits.leg_notional_max * PRICE_SLACK
            self._hold("limit_leg", notional <= most, f"{verdict.group}: {notional}")
        for name, venue in self._quarter.venues.items():
            legs = [leg for leg in intent.legs if split_id(leg.instrument)[0] == name]
            if not legs:
                continue
            gross = self._gross(venue)
            for leg in legs:
                gross += self._listed(leg.instrument).notional(leg.touch, leg.lots)
            most = limits.venue_gross_max * PRICE_SLACK
            self._hold("limit_venue", gross <= most, f"{name}: {gross}")

    def _gross(self, venue: Venue) -> Money:
        total = ZERO
        for instrument, lots in venue.positions().items():
            listed = self._listed(instrument)
            mark = venue.exchange.floors[instrument].reference()
            total += abs(listed.size(lots)) * listed.contract_value * mark
        return total

    def _listed(self, instrument: InstrumentId) -> Instrument:
        venue, market, symbol = split_id(instrument)
        return self._quarter.venues[venue].exchange.listing(market, symbol).instrument

    # Orders --------------------------------------------------------------------------------

    def _order(self, order: PlaceOrder, explained: dict[str, str], trader: Trader) -> None:
        new = order.order_id not in self._wished
        self._hold("sent_once", new, f"{order.order_id} again")
        self._wished[order.order_id] = None
        reason = order.group in explained
        self._hold("orders_explained", reason, f"{order.order_id}: no decision asks for it")
        group = self._groups.get(order.group)
        if group is None:
            return
        legs = self._plan.config.engine.legs
        group.orders += 1
        most = len(group.intent.legs) * (1 + legs.chases_max + legs.unwinds_max)
        self._hold("attempts", group.orders <= most, f"{order.order_id}: {group.orders} orders")
        if group.intent.closes and not order.reduce_only:
            self._exit(order, trader)
        if explained.get(order.group) == "SEND_BACK":
            self._given_back(order, group.intent)

    def _exit(self, order: PlaceOrder, trader: Trader) -> None:
        """Where the whole position covers it, an exit says that it only reduces."""
        if not self._listed(order.instrument).is_derivative:
            return
        held = trader.desk.engine.report.positions().get(order.instrument, 0)
        covered = held * int(order.side) < 0 and abs(held) >= order.lots
        self._hold("exits_reduce", not covered, f"{order.order_id}: {held} lots held")

    def _given_back(self, order: PlaceOrder, intent: Intent) -> None:
        """To give back is to trade against the leg; only dust is mended the other way."""
        sides = {leg.instrument: leg.side for leg in intent.legs}
        notional = self._listed(order.instrument).notional(order.ticks, order.lots)
        dust = notional <= self._plan.config.engine.legs.dust_max
        back = sides.get(order.instrument) is not order.side
        self._hold("given_back", back or dust, f"{order.order_id}: {order.side.name} {notional}")

    # Groups --------------------------------------------------------------------------------

    def _moved(self, move: GroupMoved) -> None:
        group = self._groups.get(move.group)
        if group is None:
            return  # of an earlier process: finished by this one
        known = group.state == move.before
        self._hold("moves_follow", known, f"{move.group}: {move.before} after {group.state}")
        if move.after in ENDS:
            del self._groups[move.group]
            self.hedged += move.after == "HEDGED"
        else:
            group.state, group.since = move.after, move.at

    def _deadlines(self, now: Nanos) -> None:
        legs = self._plan.config.engine.legs
        pauses = legs.pause_ms * MILLI * (legs.chases_max + legs.unwinds_max)
        for name, group in self._groups.items():
            patience = {
                "PULLING": legs.pulling_ms * MILLI,
                "CHASING": legs.chasing_ms * MILLI,
                "UNWINDING": legs.unwinding_ms * MILLI,
            }.get(group.state, int(group.intent.patience))
            late = now - group.since - patience - pauses - SLACK_NS
            self._hold("in_time", late <= 0, f"{name} in {group.state}, {late} ns too long")
