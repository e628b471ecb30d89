"""Plans: from a seed to a whole scenario, with everything that will go wrong and when."""

from decimal import Decimal

import msgspec

from oneprice.app.config import RunConfig, VenueConfig
from oneprice.app.world.bazaar import Gap
from oneprice.app.world.wires import Weather
from oneprice.model.instrument import instrument_id
from oneprice.model.settings import (
    EngineSettings,
    GateSettings,
    LegSettings,
    MarketSettings,
    OrderSettings,
    ReconcileSettings,
)
from oneprice.model.units import HOUR, MILLI, MINUTE, SECOND
from oneprice.twin.chance import Chance

EPOCH = 1_795_003_200_000_000_000 // (8 * HOUR) * (8 * HOUR)  # a funding instant of every venue
STEP_MS = (25, 40, 50, 50)
GAP_BPS = (40.0, 60.0)  # they pay every fee, and stay within every venue's price band

# What each venue trades of one coin against USDT: market, symbol of BTC, symbol of ETH.
STALLS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "bybit": (("spot", "BTCUSDT", "ETHUSDT"), ("linear", "BTCUSDT", "ETHUSDT")),
    "binance": (("spot", "BTCUSDT", "ETHUSDT"), ("usdm", "BTCUSDT", "ETHUSDT")),
    "okx": (("spot", "BTC-USDT", "ETH-USDT"), ("swap", "BTC-USDT-SWAP", "ETH-USDT-SWAP")),
    "kucoin": (("spot", "BTC-USDT", "ETH-USDT"), ("futures", "XBTUSDTM", "ETHUSDTM")),
    "bitmex": (("derivatives", "XBTUSDT", ""),),
}
VENUES = tuple(STALLS)
UNNUMBERED = ("bitmex",)  # their books carry no numbers: a lost frame is nobody's to notice

# kind: how often, least and greatest amount (milliseconds, or a count)
KINDS: dict[str, tuple[int, int, int]] = {
    "late": (10, 100, 2_500),  # everything to and from a venue takes longer, each lane its own
    "cut": (14, 1, 4),  # so many connections break, a suffix of what was under way is lost
    "restart": (6, 100, 1_500),  # all connections of a venue break, and it refuses for a while
    "frame_loss": (9, 1, 8),
    "frame_repeat": (5, 1, 10),
    "frame_late": (5, 1, 4),
    "silence": (3, 1, 1),
    "answer_lost": (10, 1, 2),
    "answer_late": (6, 1, 3),
    "error_before": (8, 1, 2),
    "error_after": (8, 1, 2),
    "refused": (7, 100, 800),  # the venue refuses every order for a while
    "rate": (3, 1, 1),  # somebody at our address uses up the allowance
    "skew": (5, -3_000, 3_000),  # the venue's clock is set, by milliseconds
    "by_hand": (3, 150, 400),  # somebody trades on our account, dollars
    "disk_slow": (4, 20, 400),  # each write may take so long, for a second
    "disk_full": (3, 300, 1_200),
    "crash": (12, 0, 4),  # where: see HOW_TO_DIE
}
HOW_TO_DIE = ("anywhere", "before_journal", "in_journal", "before_send", "between_sends")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One misfortune: `at` nanoseconds after trading began."""

    at: int
    kind: str
    venue: str
    amount: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole world before it begins."""

    seed: int
    start: int  # nanoseconds UTC at virtual time 0
    older_ns: int  # how long before that the accounts were filled
    config: RunConfig
    gaps: tuple[Gap, ...]
    faults: tuple[Fault, ...]
    weather: Weather
    step_ms: int
    trading_ns: int  # until faults are over
    calm: bool
    resumes: bool = True  # a start goes on where the journal ends

    def text(self) -> list[str]:
        """The faults, for a person."""
        return [f"{f.at / SECOND:7.3f} s  {f.kind} {f.venue} {f.amount}" for f in self.faults]


def make_plan(seed: int) -> Plan:
    """Every tenth seed has calm weather; the others have up to a dozen faults."""
    chance = Chance(seed, "plan")
    calm = seed % 10 == 0
    coin = 1 if chance.hits(0.75) else 2
    venues = _venues(coin, chance)
    config = _config(venues, coin, chance)
    trading = SECOND * 5 // 2 + chance.whole(0, 1_500) * MILLI
    # A funding instant falls into every fourth world, the end of a minute into many.
    lead = chance.whole(1, 4) * SECOND if chance.hits(0.25) else chance.whole(5, 50) * SECOND
    start = EPOCH - lead if chance.hits(0.5) else EPOCH + 20 * MINUTE - lead
    rough = not calm and chance.hits(0.3)
    return Plan(
        seed=seed,
        start=start,
        older_ns=10 * MINUTE if chance.hits(0.8) else 0,
        config=config,
        gaps=_gaps(config, chance),
        faults=() if calm else _faults(venues, trading, chance),
        weather=Weather(
            least_us=chance.whole(100, 1_000),
            spread_us=chance.whole(50, 20_000 if rough else 1_500),
            rare=0.02 if rough else 0.0,
            rare_us=60_000,
        ),
        step_ms=STEP_MS[chance.whole(0, len(STEP_MS) - 1)],
        trading_ns=trading,
        calm=calm,
    )


def _venues(coin: int, chance: Chance) -> tuple[str, ...]:
    """Two of those that have the coin, now and then three."""
    names = [name for name, rows in STALLS.items() if all(row[coin] for row in rows)]
    count = 3 if chance.hits(0.1) else 2
    return tuple(names.pop(chance.whole(0, len(names) - 1)) for _ in range(count))


def _config(venues: tuple[str, ...], coin: int, chance: Chance) -> RunConfig:
    entry = [("ws" if chance.hits(0.7) else "rest") for _ in venues]
    return RunConfig(
        strategies=("cross_exchange", "spot_futures"),
        venues=tuple(
            VenueConfig(
                name=name,
                instruments=tuple(f"{row[0]}:{row[coin]}" for row in STALLS[name]),
                order_entry="rest" if how == "rest" else "ws",
            )
            for name, how in zip(venues, entry, strict=True)
        ),
        record=False,
        engine=_engine(chance),
        strategy={
            name: {
                "net_bps_min": Decimal(2),
                "notional_max": Decimal(chance.whole(300, 2_000)),
                "hold_ms": 1_500,
                "hold_ms_max": 3_000,
                "patience_ms": chance.whole(100, 500),
            }
            for name in ("cross_exchange", "spot_futures")
        },
    )


def _engine(chance: Chance) -> EngineSettings:
    tight = chance.hits(0.25)  # limits that are often reached
    return EngineSettings(
        on_stop="close",
        stop_patience_ms=500,
        market=MarketSettings(watch_ms=250),
        gate=GateSettings(
            rest_ms=500,
            venue_gross_max=Decimal(chance.whole(1_000, 3_000) if tight else 20_000),
            groups_per_second_max=2 if tight else 4,
        ),
        orders=OrderSettings(
            ask_after_ms=100, ask_after_ms_max=1_000, missing_answers_min=3, missing_ms_min=1_500
        ),
        legs=LegSettings(
            half_filled="complete" if chance.hits(0.7) else "unwind",
            pulling_ms=20_000,
            chasing_ms=500,
            unwinding_ms=500,
        ),
        reconcile=ReconcileSettings(grace_ms=1_000, audit_ms=4_000),
    )


def _gaps(config: RunConfig, chance: Chance) -> tuple[Gap, ...]:
    """Dislocations that pay, one after the other for as long as a world may last."""
    names = [
        instrument_id(venue.name, market, symbol)
        for venue in config.venues
        for market, symbol in venue.named
    ]
    gaps: list[Gap] = []
    at = 300 * MILLI
    while at < 120 * SECOND:
        sign = 1 if chance.hits(0.5) else -1
        gaps.append(
            Gap(
                instrument=names[chance.whole(0, len(names) - 1)],
                at=at,
                bps=sign * chance.between(GAP_BPS[0], GAP_BPS[1]),
                half_life=chance.whole(250, 900) * MILLI,
            )
        )
        at += chance.whole(250, 900) * MILLI
    return tuple(gaps)


def _faults(venues: tuple[str, ...], trading: int, chance: Chance) -> tuple[Fault, ...]:
    total = sum(weight for weight, _, _ in KINDS.values())
    faults: list[Fault] = []
    crashes = 0
    for _ in range(chance.whole(1, 10)):
        draw = chance.whole(1, total)
        for name, (weight, least, most) in KINDS.items():  # noqa: B007 -- used after the loop
            draw -= weight
            if draw <= 0:
                break
        venue = venues[chance.whole(0, len(venues) - 1)]
        if name == "frame_loss" and venue in UNNUMBERED:
            continue  # nor does a stream of bytes lose any in its middle
        ends = name in ("crash", "disk_full")
        if ends and crashes >= 2:
            continue
        crashes += ends
        faults.append(
            Fault(
                at=_moment(name, trading, chance),
                kind=name,
                venue=venue,
                amount=chance.whole(least, most),
            )
        )
    return tuple(sorted(faults, key=lambda fault: fault.at))


def _moment(kind: str, trading: int, chance: Chance) -> int:
    """Any; but what is lost of a book heals by itself, so half of it is lost at the end."""
    if kind == "frame_loss" and chance.hits(0.5):
        return trading - chance.whole(0, 300) * MILLI
    return chance.whole(50, trading // MILLI) * MILLI
