"""Configuration: TOML onto frozen structs, every key checked, with 'did you mean'."""

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from oneprice.model.settings import EngineSettings

T = TypeVar("T")


Environment = Literal["twin", "demo", "testnet", "live"]
# Who trades with real money has written these down, each of them.
WRITTEN_LIMITS = ("leg_notional_max", "venue_gross_max", "asset_net_max", "daily_loss_max")


class ConfigError(ValueError):
    """A setting that cannot be used: names the place, what was found, what was expected."""


class VenueConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One venue to connect to. Keys and secrets are never here: see `accounts`."""

    name: str
    # Every symbol in every market; where symbols differ by market, name `instruments` instead.
    markets: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    instruments: tuple[str, ...] = ()  # market:symbol
    depth: int = 50  # levels a side, the venue's next larger book is taken
    environment: Environment = "twin"  # which hosts of the venue
    endpoints: Mapping[str, str] = {}  # host key -> base url, all of them, instead of those
    order_entry: Literal["ws", "rest"] = "ws"  # rest where a venue takes orders by REST only
    # Whose order is cancelled where an order would meet another of the same account.
    self_trade: Literal["taker", "maker", "both", "none"] = "taker"
    # The venue cancels our orders when it has not heard of us for so long, milliseconds; 0: never.
    dead_man_ms: int = 0

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """Every (market, symbol), in order."""
        if self.instruments:
            pairs = (name.partition(":") for name in self.instruments)
            return tuple((market, symbol) for market, _, symbol in pairs)
        return tuple((market, symbol) for market in self.markets for symbol in self.symbols)

    @property
    def in_markets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(market for market, _ in self.named))

    @property
    def needs_twin(self) -> bool:
        return self.environment == "twin" and not self.endpoints


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a run tells of itself while it runs."""

    port: int = 0  # of /metrics, /healthz and /readyz; 0: none
    host: str = "127.0.0.1"  # where it listens: another address is a decision
    log: Literal["console", "json"] = "console"
    log_file: str = ""  # log lines go there as well, as JSON; "": to standard error alone
    feed_lost_s: float = 10.0  # a book unknown for so long is told
    alerts_per_minute: int = 6  # of one kind; what comes beyond is counted and told with the next
    alerts_per_hour: int = 60  # of all kinds


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `oneprice run` can be told in a file."""

    market: str = "seed:7"  # seed:N, or tape:DIR with recordings for the twins to play
    seconds: float = 0.0  # 0: until interrupted
    strategies: tuple[str, ...] = ("cross_exchange", "spot_futures")
    venues: tuple[VenueConfig, ...] = (
        VenueConfig(name="bybit", markets=("spot", "linear")),
        VenueConfig(name="binance", markets=("spot", "usdm")),
    )
    busy_poll: bool = False  # never sleep: lower latency for the price of a core
    # Whether the disk has the journal before an order leaves: always, or every interval at the
    # latest, or when it likes. A killed process loses nothing in any case, a power cut may.
    journal_sync: Literal["never", "interval", "always"] = "interval"
    journal_interval_ms: int = 200
    record: bool = True  # keep every input on a tape, so that the run can be replayed
    engine: EngineSettings = EngineSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    # POST /kill, POST /release and GET /status on a free loopback port, for who has the token.
    control: bool = False
    secrets_file: str = ""  # NAME=value lines, readable by its owner only; see SECURITY.md
    # Settings of the strategies, by name; keys are checked against each strategy's own struct.
    strategy: Mapping[str, Mapping[str, Any]] = {}


def load_config(path: Path, environment: Environment | None = None) -> RunConfig:
    """Read a TOML file; raises ConfigError naming file and key.

    `environment` overrules that of every venue without endpoints of its own. With real money at
    stake the limits in WRITTEN_LIMITS must be in the file: a default is nobody's decision.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"config {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"config {path}: not TOML: byte {error.start} is not UTF-8") from None
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"config {path}: not TOML: {error}") from None
    try:
        config = in_environment(convert(data, RunConfig), environment)
        if config.engine.trading and any(v.environment == "live" for v in config.venues):
            _limits_written(data)
        return config
    except ConfigError as error:
        raise ConfigError(f"config {path}: {error}") from None


def in_environment(config: RunConfig, environment: Environment | None) -> RunConfig:
    """The same, with every venue without endpoints of its own in that environment."""
    if environment is None:
        return config
    venues = tuple(
        v if v.endpoints else msgspec.structs.replace(v, environment=environment)
        for v in config.venues
    )
    return msgspec.structs.replace(config, venues=venues)


def _limits_written(data: Mapping[str, Any]) -> None:
    written = data.get("engine", {}).get("gate", {})
    missing = [name for name in WRITTEN_LIMITS if name not in written]
    if missing:
        raise ConfigError(
            f"engine.gate: {', '.join(missing)} missing; environment live wants its limits written"
        )


def convert(data: Mapping[str, Any], target: type[T], place: str = "") -> T:
    """Settings onto a struct; unknown keys and wrong types are errors that name their place."""
    check_keys(data, target, place)
    try:
        return msgspec.convert(data, target, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(_placed(str(error), target, place)) from None


_INVALID = re.compile(r"(.*) - at `\$\.?([^`]*)`")


def _placed(text: str, target: Any, place: str) -> str:
    """The complaint of the decoder, its place first, and the words that would have fitted."""
    match = _INVALID.fullmatch(text)
    if match is None:
        return f"{place}: {text}" if place else text
    what, path = match[1], match[2]
    for step in path.split("."):
        name, _, index = step.partition("[")
        struct = _struct_of(target)
        target = struct and {f.name: f.type for f in msgspec.structs.fields(struct)}.get(name)
        target = _item_of(target) if index else target
    if typing.get_origin(target) is Literal:
        what += f", expected one of: {', '.join(typing.get_args(target))}"
    where = ".".join(part for part in (place, path) if part)
    return f"{where}: {what[:1].lower()}{what[1:]}" if where else what


def check_keys(data: Any, target: Any, place: str = "") -> None:
    """Every key of nested settings must be a field of the struct it lands in."""
    struct = _struct_of(target)
    if struct is None or not isinstance(data, Mapping):
        item = _item_of(target)
        if item is not None and isinstance(data, list):
            for number, entry in enumerate(data):
                check_keys(entry, item, f"{place}[{number}]")
        return
    fields = {f.name: f.type for f in msgspec.structs.fields(struct)}
    for key, value in data.items():
        where = f"{place}.{key}" if place else key
        if key not in fields:
            raise ConfigError(f"unknown key {where!r}{did_you_mean(key, fields)}")
        check_keys(value, fields[key], where)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known word, or all of them."""
    choices = list(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; expected one of: {', '.join(choices)}"


def _struct_of(target: Any) -> type[msgspec.Struct] | None:
    if isinstance(target, type) and issubclass(target, msgspec.Struct):
        return target
    if typing.get_origin(target) in (types.UnionType, typing.Union):
        for part in typing.get_args(target):
            found = _struct_of(part)
            if found is not None:
                return found
    return None


def _item_of(target: Any) -> Any:
    if typing.get_origin(target) in (tuple, list):
        return typing.get_args(target)[0]
    return None

