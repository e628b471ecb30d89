"""The watchdog: a process of its own, with keys of its own, for when a trader falls silent.

It watches the heartbeat. Where that stops although the run has not ended in good order, it cancels
every order at every venue, flattens where it was told to, verifies with the venues, tells people,
and repeats until the venues say that nothing is left. As soon as a trader shows signs of life
again it leaves everything to him; but it leaves word that the clutch must be opened, since what he
knows of his orders and positions is not true any more.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from oneprice.app import secrets
from oneprice.app.alerts import Alerts, AlertsMissing, Throttle, apprise_notifier
from oneprice.app.config import ConfigError, RunConfig
from oneprice.app.control import ask_by_file
from oneprice.app.control_everywhere import Everywhere, Outcome, keys_of
from oneprice.app.control_report import VenueLeft
from oneprice.app.heartbeat import (
    ENDED,
    Heartbeat,
    HeartbeatDamaged,
    boot_id,
    process_lives,
    read_heartbeat,
    write_whole,
)

log = structlog.get_logger("watchdog")

REPORT = "watchdog.json"
LOOK_EVERY_S = 0.25
ROUNDS_S = 60.0  # of one go; then the heartbeat is looked at, and it goes on
ONCE_S = 120.0
FLAT_S = 30.0  # between looks whether it is still so

State = Literal["waiting", "watching", "ended", "acting", "flat", "back"]


class WatchdogReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a watchdog saw and did. `state`: waiting for a first heartbeat, watching, ended in
    good order, acting, flat (the venues say that nothing is left), back (the trader is)."""

    state: State
    at: int  # nanoseconds UTC
    flatten: bool
    why: str = ""  # why it acts, or acted
    silent_s: float = 0.0  # age of the heartbeat when it began to act
    ms: int = 0  # from then to this report
    rounds: int = 0
    verified: bool = False
    venues: list[VenueLeft] = []
    cancelled: list[str] = []
    closed: list[str] = []
    notes: list[str] = []


class WatchdogWish(msgspec.Struct, frozen=True, kw_only=True):
    """How to watch."""

    after_s: float = 10.0
    flatten: bool = False
    once: bool = False  # one look, and what follows from it


Tell = Callable[[WatchdogReport], None]


class Watchdog:
    """Watches one session. `tell` hears of every change of state."""

    def __init__(self, directory: Path, config: RunConfig, wish: WatchdogWish, tell: Tell) -> None:
        if not config.engine.trading:
            raise ConfigError("engine.trading is false: a run that only looks needs no watchdog")
        self._directory = directory
        self._wish = wish
        self._tell = tell
        self._everywhere = Everywhere(
            directory, config, keys_of(config, "watchdog"), self._trader_is_back
        )
        self._alerts = _alerts(config, directory)
        self._state = ""
        self._flat_until = 0.0
        self._good: Heartbeat | None = None  # the last that could be read

    async def examine(self) -> list[VenueLeft]:
        """Whether the keys work, before they are needed: what every venue says now."""
        return await self._everywhere.look()

    async def watch(self) -> WatchdogReport:
        """For ever, or with `once` until what a first look found is done; the last report."""
        try:
            while True:
                report = await self._look()
                if self._wish.once:
                    return report
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            if self._alerts is not None:
                await asyncio.to_thread(self._alerts.close)

    async def _look(self) -> WatchdogReport:
        beat = self._beat()
        if beat is None:
            return self._say(self._report("waiting"))
        if beat.phase == ENDED:
            return self._say(self._report("ended"))
        why = self._silence(beat)
        if not why:
            back = self._state in ("acting", "flat")
            if back:
                self._alert(f"session {beat.session}: the trader is back, process {beat.pid}")
            state: State = "back" if back else "watching"
            return self._say(self._report(state))
        if self._state == "flat" and time.monotonic() < self._flat_until:
            return self._report("flat")
        return await self._act(beat, why)

    def _silence(self, beat: Heartbeat) -> str:
        """Why somebody else must look after the orders of this trader; "" where he does."""
        age = beat.age_s()
        if beat.sealed:
            return f"process {beat.pid} can send nothing any more: its journal refused a turn"
        if age <= self._wish.after_s:
            return ""
        if beat.over:
            return "the run broke off and may have left something behind"
        lives = beat.boot == boot_id() and process_lives(beat.pid)
        there = "is there" if lives else "is gone"
        return f"no heartbeat for {age:.1f} s, process {beat.pid} {there}"

    def _trader_is_back(self) -> bool:
        beat = self._beat()
        return beat is not None and not self._silence(beat)

    def _beat(self) -> Heartbeat | None:
        """The last heartbeat that could be read: a damaged one is no sign of life."""
        try:
            found = read_heartbeat(self._directory)
        except (HeartbeatDamaged, OSError) as error:
            log.error("no readable heartbeat", reason=str(error))
            return self._good
        if found is not None:
            self._good = found
        return self._good

    # Acting --------------------------------------------------------------------------------

    async def _act(self, beat: Heartbeat, why: str) -> WatchdogReport:
        silent, began = beat.age_s(), time.monotonic()

        def made(state: State, outcome: Outcome) -> WatchdogReport:
            return msgspec.structs.replace(
                self._report(state, outcome),
                why=why,
                silent_s=round(silent, 3),
                ms=round((time.monotonic() - began) * 1000),
            )

        news = self._state not in ("acting", "flat")
        if news:
            self._leave_word(why)
            self._say(made("acting", Outcome()))
            doing = "cancelling and flattening" if self._wish.flatten else "cancelling"
            self._alert(f"session {beat.session}: {why}; {doing}")
        outcome = await self._everywhere.end(
            flatten=self._wish.flatten,
            seconds=ONCE_S if self._wish.once else ROUNDS_S,
            told=lambda so_far: self._keep(made("acting", so_far)),
        )
        state: State = "flat" if outcome.clean else "acting"
        report = self._say(made(state, outcome))
        self._flat_until = time.monotonic() + FLAT_S
        if outcome.clean and (news or outcome.rounds > 1):
            text = f"{len(outcome.cancelled)} orders cancelled, {len(outcome.closed)} closed"
            self._alert(f"session {beat.session}: nothing is left; {text}, {report.ms} ms")
        elif not outcome.clean and not self._trader_is_back():
            self._alert(f"session {beat.session}: NOT verified after {outcome.rounds} rounds")
        return report

    def _leave_word(self, why: str) -> None:
        try:
            ask_by_file(self._directory, "watchdog", why, flatten=False)
        except OSError as error:  # on a full disk the orders must be cancelled all the same
            log.error("no word left for the trader", reason=error.strerror)

    def _report(self, state: State, outcome: Outcome | None = None) -> WatchdogReport:
        done = outcome if outcome is not None else Outcome()
        return WatchdogReport(
            state=state,
            at=time.time_ns(),
            flatten=self._wish.flatten,
            rounds=done.rounds,
            verified=done.clean,
            venues=list(done.venues),
            cancelled=list(done.cancelled),
            closed=list(done.closed),
            notes=list(done.notes),
        )

    # Telling -------------------------------------------------------------------------------

    def _say(self, report: WatchdogReport) -> WatchdogReport:
        """Once for every change; what was done is kept beside the session."""
        if report.state in ("acting", "flat"):
            self._keep(report)
        if report.state != self._state:
            self._state = report.state
            self._tell(report)
        return report

    def _keep(self, report: WatchdogReport) -> None:
        text = msgspec.json.format(msgspec.json.encode(report), indent=2)
        try:
            write_whole(self._directory / REPORT, text + b"\n")
        except OSError as error:
            log.error("no report", reason=error.strerror)

    def _alert(self, text: str) -> None:
        if self._alerts is not None:
            self._alerts.put("watchdog", text)


def _alerts(config: RunConfig, directory: Path) -> Alerts | None:
    """Where people are told; ConfigError where the addresses cannot be used."""
    urls = secrets.alert_urls(config.secrets_file)
    if not urls:
        return None
    settings = config.telemetry
    throttle = Throttle(settings.alerts_per_minute, settings.alerts_per_hour)
    try:
        return Alerts(apprise_notifier(urls), throttle, time.monotonic, directory.name)
    except AlertsMissing as error:
        raise ConfigError(str(error)) from None
