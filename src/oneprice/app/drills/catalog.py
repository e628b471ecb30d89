"""All drills, in the order in which they are played."""

from collections.abc import Sequence

from oneprice.app.config import ConfigError, did_you_mean
from oneprice.app.drills import account, kills, orders, weather
from oneprice.app.drills.contract import Drill
from oneprice.app.drills.stage import LEGS

DRILLS: tuple[Drill, ...] = (
    *orders.DRILLS,
    *weather.DRILLS,
    *kills.DRILLS,
    *account.DRILLS,
)
BY_NAME = {drill.name: drill for drill in DRILLS}


def chosen(names: Sequence[str]) -> list[Drill]:
    """Drills by name, `all` for all of them; ConfigError for an unknown name or none."""
    if not names:
        raise ConfigError("no drill named; expected names, all, or list")
    if "all" in names:
        return list(DRILLS)
    found = []
    for name in dict.fromkeys(names):
        if name not in BY_NAME:
            raise ConfigError(f"drill {name!r}{did_you_mean(name, BY_NAME)}")
        found.append(BY_NAME[name])
    return found


def venues_of(text: str) -> tuple[str, str]:
    """Two venues, `bought,sold`; ConfigError names what is unknown."""
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in LEGS:
            raise ConfigError(f"--venues: found {name!r}{did_you_mean(name, LEGS)}")
    if len(names) != 2 or names[0] == names[1]:
        raise ConfigError(f"--venues: found {text!r}, expected two that differ, as in a,b")
    return names[0], names[1]
