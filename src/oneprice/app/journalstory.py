"""The story of one leg group out of a journal: why, what was sent, what came of it, its profit.

Everything is worked out from the journal alone. The money is what an engine knows that recalls
the journal up to the last turn that the group was in.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from oneprice.app.journalview import Index, Turned
from oneprice.app.journalwords import card_lines, fee, moment, price, size, trade, words
from oneprice.core.engine import Engine
from oneprice.core.legs import Action, State
from oneprice.core.recall import NotRecalled
from oneprice.core.strategy import GroupMoved, IntentJudged
from oneprice.kernel import Tripwires
from oneprice.model import events as ev
from oneprice.model.commands import CancelOrder, PlaceOrder, QueryOrder
from oneprice.model.instrument import Payoff
from oneprice.model.settings import EngineSettings
from oneprice.model.units import (
    MILLI,
    ROUNDED,
    ZERO,
    Asset,
    InstrumentId,
    Nanos,
    Side,
    plain,
)

_MONEY = (ev.OrderFilled, ev.FundingBooked, ev.StatementLine, GroupMoved)


class NoSuchGroup(ValueError):
    """The journal knows no group of that name; says which ones it knows."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, `after_ms` milliseconds after the intent."""

    at: Nanos
    after_ms: float
    text: str
    details: tuple[str, ...] = ()


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time in which an order could have mended a difference between the legs."""

    since: Nanos
    lasted_ms: float
    ended: bool


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A group from its intent to its end; `root` is the group whose profit it is."""

    group: str
    root: str
    strategy: str
    pair: str
    began: Nanos
    steps: tuple[Step, ...]
    unhedged: tuple[Span, ...]
    end: str  # the last state
    exits: tuple[str, ...]  # groups that closed what this one opened
    held: Mapping[InstrumentId, str]  # what the root still holds, in the venue's unit of size
    earned: Mapping[str, Mapping[Asset, Decimal]]  # of the root, by cause, in every asset
    worth: Mapping[str, Decimal]  # the same in the reporting asset; empty where rates lack
    asset: Asset
    doubt: str = ""  # why nothing is known of the money


def explain(
    turns: Iterable[Turned], group: str, settings: EngineSettings | None = None
) -> Story:
    """`settings` are those of the session. Raises NoSuchGroup."""
    reader = _Reader(group, settings or EngineSettings())
    for turn in turns:
        reader.read(turn)
    return reader.story()


class _Reader:
    """Reads turns in order and keeps what concerns one group and its root."""

    def __init__(self, group: str, settings: EngineSettings) -> None:
        self._group = group
        self._settings = settings
        self._engine = Engine(settings, [], {}, Tripwires(), "story")
        self._doubt = ""
        self._index = Index()
        self._intents: dict[str, IntentJudged] = {}
        self._states: dict[str, str] = {}
        self._steps: list[tuple[Nanos, str, tuple[str, ...]]] = []
        self._sent: dict[str, tuple[Nanos, bool]] = {}  # when, and whether it was a repair
        self._fills: dict[tuple[InstrumentId, str, Side], ev.OrderFilled] = {}
        self._again = False  # the fill being read was told before
        self._earned: Mapping[str, Mapping[Asset, Decimal]] = {}
        self._last = Nanos(0)

    def read(self, turn: Turned) -> None:
        self._index.learn(turn)
        self._last = turn.at
        self._recall(turn)
        repairing: dict[str, None] = {}
        for item in turn.record:
            match item:
                case IntentJudged() if item.group:
                    self._intents[item.group] = item
                case GroupMoved():
                    self._states[item.group] = item.after
                    if item.action in (Action.SEND_MISSING, Action.SEND_BACK):
                        repairing[item.group] = None
                case ev.OrderFilled():
                    self._fill(item)
                case _:
                    pass
            self._note(item.at, item)
        for command in turn.commands:
            if isinstance(command, PlaceOrder):
                self._sent[command.order_id] = (turn.at, command.group in repairing)
            self._note(turn.at, command)
        self._reckon(turn)

    def _recall(self, turn: Turned) -> None:
        if self._doubt:
            return
        try:
            self._engine.recall.entry(turn.at, turn.record, turn.commands)
        except NotRecalled as error:
            self._doubt = str(error)

    def _reckon(self, turn: Turned) -> None:
        """What was earned by now: an engine forgets a group when thousands have followed it."""
        if self._group not in self._intents or self._doubt:
            return
        root = self._root(self._group)
        if any(isinstance(item, _MONEY) and self._touches(item, root) for item in turn.record):
            self._earned = self._engine.report.causes(root) or self._earned

    def _touches(self, item: msgspec.Struct, root: str) -> bool:
        order = getattr(item, "order_id", "")
        group = self._index.groups.get(order, "") if order else getattr(item, "group", "")
        return not group or self._root(group) == root

    def _root(self, group: str) -> str:
        judged = self._intents.get(group)
        return judged.intent.closes or group if judged is not None else group

    def _fill(self, fill: ev.OrderFilled) -> None:
        key = (fill.instrument, fill.fill_id, fill.side)
        known = self._fills.get(key)
        self._again = known is not None
        if known is None:
            self._fills[key] = fill
        elif fill.fee_known and not known.fee_known:
            self._fills[key] = msgspec.structs.replace(
                known, fee=fill.fee, fee_asset=fill.fee_asset, fee_known=True
            )

    # Telling -----------------------------------------------------------------------------

    def _note(self, at: Nanos, item: msgspec.Struct) -> None:
        ours = self._index.concerns(item, self._group) or self._pays(item)
        if ours and (told := self._told(item)):
            self._steps.append((at, *told))

    def _pays(self, item: msgspec.Struct) -> bool:
        """A settlement of what this group opened and holds."""
        if not isinstance(item, ev.FundingBooked):
            return False
        return any(
            leg.instrument == item.instrument
            for holding in self._engine.report.holdings()
            if holding.id == self._group
            for leg in holding.legs
        )

    def _told(self, item: msgspec.Struct) -> tuple[str, tuple[str, ...]] | None:
        listed = self._index.listed
        match item:
            case IntentJudged():
                return self._judged(item)
            case GroupMoved():
                return f"{item.before} -> {item.after} on {item.signal}: {item.action}", ()
            case PlaceOrder():
                _, repair = self._sent[item.order_id]
                what = trade(item.instrument, item.side, item.lots, item.ticks, listed)
                how = f"{item.time_in_force}{', reduce-only' if item.reduce_only else ''}"
                kind = f", repair ({item.priority.name.lower()})" if repair else ""
                return f"sent {item.order_id}: {what}, {how}{kind}", ()
            case ev.OrderFilled():
                return self._filled(item), ()
            case ev.Event() | CancelOrder() | QueryOrder():
                return words(item, listed) + self._since_sent(item), ()
            case _:
                return None

    def _judged(self, judged: IntentJudged) -> tuple[str, tuple[str, ...]]:
        intent, listed = judged.intent, self._index.listed
        if not judged.group:
            text = f"closing it ({intent.reason}) was refused by {judged.refused_by}"
            return text, ()
        if judged.group != self._group:
            return f"group {judged.group} begins to close it: {intent.reason}", ()
        legs = (
            f"{trade(leg.instrument, leg.side, leg.lots, leg.ticks, listed)} or better,"
            f" shown {price(leg.instrument, leg.touch, listed)}"
            for leg in intent.legs
        )
        closes = f", closes {intent.closes}" if intent.closes else ""
        text = f"intent of {intent.strategy}: {intent.reason or 'entry'}, {intent.pair}{closes}"
        patience = f"patience {intent.patience // MILLI} ms; permitted by the gate"
        return text, (*legs, *card_lines(intent.card), patience)

    def _filled(self, fill: ev.OrderFilled) -> str:
        what = trade(fill.instrument, fill.side, fill.lots, fill.ticks, self._index.listed)
        cost = fee(fill.fee, fill.fee_asset, known=fill.fee_known)
        again = ", told again" if self._again else ""
        forced = "" if fill.cause == "trade" else f", by {fill.cause}"
        maker = ", maker" if fill.maker else ""
        text = f"filled {fill.order_id}: {what}, {cost}{maker}{forced}{again}"
        return text + self._since_sent(fill)

    def _since_sent(self, item: msgspec.Struct) -> str:
        sent = self._sent.get(getattr(item, "order_id", ""))
        at = getattr(item, "at", None)
        return f", {(at - sent[0]) / MILLI:.1f} ms after it was sent" if sent and at else ""

    # The end -----------------------------------------------------------------------------

    def story(self) -> Story:
        judged = self._intents.get(self._group)
        if judged is None:
            raise NoSuchGroup(f"group {self._group!r}: not in this journal; {self._known()}")
        root, intent = self._root(self._group), judged.intent
        return Story(
            group=self._group,
            root=root,
            strategy=intent.strategy,
            pair=intent.pair,
            began=judged.at,
            steps=tuple(
                Step(at=at, after_ms=(at - judged.at) / MILLI, text=text, details=details)
                for at, text, details in self._steps
            ),
            unhedged=tuple(self._spans(root)),
            end=self._states.get(self._group, State.WORKING),
            exits=tuple(
                name for name, other in self._intents.items() if other.intent.closes == root
            ),
            held=self._held(root),
            earned=self._earned,
            worth=self._worth(),
            asset=self._settings.reporting,
            doubt=self._doubt,
        )

    def _known(self) -> str:
        names = list(self._intents)
        if not names:
            return "it holds no group"
        return f"it holds {len(names)}, {names[0]} to {names[-1]}"

    def _fills_of(self, root: str) -> Iterator[tuple[str, ev.OrderFilled]]:
        for fill in self._fills.values():
            group = self._index.groups.get(fill.order_id)
            if group is not None and self._root(group) == root:
                yield group, fill

    def _held(self, root: str) -> dict[InstrumentId, str]:
        found = (h for h in self._engine.report.holdings() if h.id == root)
        return {
            leg.instrument: size(leg.instrument, leg.lots, self._index.listed)
            for holding in found
            for leg in holding.legs
            if leg.lots
        }

    def _worth(self) -> dict[str, Decimal]:
        """At the last rates known; {} where one is lacking."""
        found: dict[str, Decimal] = {}
        for cause, amounts in self._earned.items():
            total = ZERO
            for asset, amount in amounts.items():
                rate = self._engine.report.rate(asset)
                if rate is None:
                    return {}
                total += amount * rate
            found[cause] = total
        return found

    # Unhedged time -----------------------------------------------------------------------

    def _spans(self, root: str) -> Iterator[Span]:
        """From the fill after which an order could mend something to the one after which none."""
        deltas: dict[Asset, Decimal] = {}
        since: Nanos | None = None
        for group, fill in self._fills_of(root):
            listed = self._index.listed[fill.instrument]
            coins = int(fill.side) * listed.base_size(fill.ticks, fill.lots)
            if listed.payoff is Payoff.SPOT and fill.fee_asset == listed.base:
                coins -= fill.fee * listed.multiplier
            deltas[listed.base] = deltas.get(listed.base, ZERO) + coins
            lopsided = self._lopsided(group, deltas)
            if lopsided and since is None:
                since = fill.at
            elif not lopsided and since is not None:
                yield Span(since=since, lasted_ms=(fill.at - since) / MILLI, ended=True)
                since = None
        if since is not None:
            yield Span(since=since, lasted_ms=(self._last - since) / MILLI, ended=False)

    def _lopsided(self, group: str, deltas: Mapping[Asset, Decimal]) -> bool:
        for leg in self._intents[group].intent.legs:
            listed = self._index.listed[leg.instrument]
            delta = abs(deltas.get(listed.base, ZERO))
            lots = int(ROUNDED.divide(delta, listed.base_size(leg.touch, 1)).to_integral_value())
            worth = listed.notional(leg.touch, lots)
            enough = listed.is_derivative or worth >= listed.notional_min
            if lots and lots >= listed.lots_min and enough:
                return True
        return False


def told(story: Story) -> Sequence[str]:
    """The story on lines, for people."""
    lines = [f"group {story.group}  {story.strategy}  {story.pair}", f"{moment(story.began)} UTC"]
    for step in story.steps:
        lines.append(f"{step.after_ms:>+12.3f} ms  {step.text}")
        lines += [f"{'':>19}{detail}" for detail in step.details]
    lines += [f"end: {story.end}", _unhedged_told(story.unhedged)]
    if story.exits and story.root == story.group:
        lines.append(f"closed by: {', '.join(story.exits)}")
    for instrument, held in story.held.items():
        lines.append(f"still held: {held} {instrument} (basis is what it cost so far)")
    return [*lines, *_earned_told(story)]


def _unhedged_told(spans: Sequence[Span]) -> str:
    if not spans:
        return "unhedged: never"
    total = sum(span.lasted_ms for span in spans)
    longest = max(span.lasted_ms for span in spans)
    going = "" if spans[-1].ended else ", and still is"
    times = f"{len(spans)} times, " if len(spans) > 1 else ""
    return f"unhedged: {times}{total:.3f} ms, longest {longest:.3f} ms{going}"


def _earned_told(story: Story) -> Iterator[str]:
    whose = "" if story.root == story.group else f" by {story.root}, which it closes"
    if story.doubt:
        yield f"earned{whose}: not known; {story.doubt}"
    else:
        yield f"earned{whose}:" if story.earned else f"earned{whose}: nothing yet"
    for cause, amounts in story.earned.items():
        each = ", ".join(f"{plain(amount)} {asset}" for asset, amount in amounts.items())
        worth = ""
        if story.worth and list(amounts) != [story.asset]:
            worth = f" = {plain(story.worth[cause])} {story.asset}"
        yield f"  {cause:<10} {each}{worth}"
    if story.worth and not story.held:
        yield f"  {'total':<10} {plain(sum(story.worth.values(), ZERO))} {story.asset}"
