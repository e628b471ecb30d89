"""How each twin refuses us for asking too much: the one thing every venue does in its own way."""

from collections.abc import Callable, Mapping
from typing import Any

from oneprice.app.drills.stage import Stage
from oneprice.model.units import SECOND

HERE = "127.0.0.1"
BANNED_S = 1.5
FOR_EVER = 10**9  # requests
Clock = Callable[[], int]  # of a venue


class Ban:
    """Refusals for rate by one venue: how many there were, and what ends them."""

    def __init__(
        self, lift: Callable[[], object], renew: Callable[[], object] = lambda: None
    ) -> None:
        self.lift = lift
        self.renew = renew
        self.felt = 0

    def count(self, limiter: Any, name: str, *, no: bool = False) -> None:
        """From now on every refusal by a method counts: it says `no`, or raises.

        `renew` is called before it until the first one, so that no ban is over unfelt.
        """
        method = getattr(limiter, name)

        def counted(*given: Any, **named: Any) -> Any:
            if not self.felt:
                self.renew()
            self.felt += 1
            answer = method(*given, **named)
            self.felt -= answer is not no
            return answer

        setattr(limiter, name, counted)


def _bybit(surface: Any, market: str, clock: Clock) -> Ban:
    """The address gets no answer by HTTP for ten minutes, or until somebody has mercy (403)."""
    surface.limiter.ban(HERE, clock())
    ban = Ban(surface.limiter.lift_bans)
    ban.count(surface.limiter, "visit")
    return ban


def _binance(surface: Any, market: str, clock: Clock) -> Ban:
    """The address is refused until a moment that is told (418, -1003)."""
    limits = surface.limits[market]

    def begin() -> None:
        limits.ban(HERE, clock() + int(BANNED_S * SECOND))

    ban = Ban(lambda: limits.ban(HERE, 0), begin)
    ban.count(limits, "charge")
    return ban


def _okx(surface: Any, market: str, clock: Clock) -> Ban:
    """No address is banned; every request finds its window used up (50011)."""
    limiter, scale = surface.limiter, surface.limiter.scale
    limiter.scale = 0
    ban = Ban(lambda: setattr(limiter, "scale", scale))
    ban.count(limiter, "orders")
    ban.count(limiter, "query")
    return ban


def _kucoin(surface: Any, market: str, clock: Clock) -> Ban:
    """Nobody is banned; the system as a whole is overloaded (429000)."""
    surface.overload(FOR_EVER)
    ban = Ban(lambda: surface.overload(0))
    ban.count(surface.limiter, "check")
    return ban


def _bitmex(surface: Any, market: str, clock: Clock) -> Ban:
    """The address is refused for an hour, or until somebody has mercy (403)."""
    surface.limiter.ban(HERE, clock())
    ban = Ban(surface.limiter.lift_bans)
    ban.count(surface.limiter, "banned", no=True)
    return ban


_BANS: Mapping[str, Callable[[Any, str, Clock], Ban]] = {
    "bybit": _bybit,
    "binance": _binance,
    "okx": _okx,
    "kucoin": _kucoin,
    "bitmex": _bitmex,
}


def ban(stage: Stage, venue: str) -> Ban:
    """Every request is refused for its rate from now on."""
    surface = stage.twins[venue].twin.surface
    return _BANS[venue](surface, stage.market(venue), lambda: stage.now(venue))
