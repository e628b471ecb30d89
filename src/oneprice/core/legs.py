"""A leg group as a table: work the legs, pull, chase, unwind, never hang.

Every state and every transition lives in TABLE; the code elsewhere only looks it up. Each living
state answers every signal, deadline edges form no cycle, and the two signals that can repeat a
state (LOPSIDED and SPENT) are only given while attempts are left. So each group ends in bounded
time; tests/core/test_legs.py proves it on the table.

A leg that may rest is placed alone (RESTING); what is filled of it is hedged at once (FILLING),
while it rests and while it is being cancelled. FILLING changes no state and no patience; it is
given once for every new rest that an order can mend, and after a hedge that found nothing.
"""

from enum import StrEnum


class State(StrEnum):
    WORKING = "WORKING"  # all legs sent
    RESTING = "RESTING"  # one leg rests in its book, the others follow what is filled of it
    PULLING = "PULLING"  # time is up: cancelling what rests, asking for what is not known
    CHASING = "CHASING"  # one leg ahead: paying up for the other
    UNWINDING = "UNWINDING"  # the other leg is gone: giving the leading one back
    HEDGED = "HEDGED"  # end: exposures cancel out
    FLAT = "FLAT"  # end: nothing held
    STUCK = "STUCK"  # end for the machine: clutch open, a person decides


class Signal(StrEnum):
    """All but DEADLINE and FILLING are given only once every order of the group has settled."""

    BALANCED = "BALANCED"  # something held, exposures cancel out
    EMPTY = "EMPTY"  # nothing held
    LOPSIDED = "LOPSIDED"  # one leg ahead, the other can still be chased
    SPENT = "SPENT"  # one leg ahead, no chase left, it can still be given back
    HOPELESS = "HOPELESS"  # one leg ahead, nothing left to try, or the policy says hold
    FILLING = "FILLING"  # a resting leg is ahead and may still fill: hedge what is there
    DEADLINE = "DEADLINE"  # the patience of the state ran out


class Action(StrEnum):
    NOTHING = "NOTHING"
    PULL = "PULL"
    SEND_HEDGE = "SEND_HEDGE"
    SEND_MISSING = "SEND_MISSING"
    SEND_BACK = "SEND_BACK"
    OPEN_CLUTCH = "OPEN_CLUTCH"


ENDS = (State.HEDGED, State.FLAT, State.STUCK)
LIVING = tuple(state for state in State if state not in ENDS)

_SETTLED: dict[Signal, tuple[State, Action]] = {
    Signal.BALANCED: (State.HEDGED, Action.NOTHING),
    Signal.EMPTY: (State.FLAT, Action.NOTHING),
    Signal.LOPSIDED: (State.CHASING, Action.SEND_MISSING),
    Signal.SPENT: (State.UNWINDING, Action.SEND_BACK),
    Signal.HOPELESS: (State.STUCK, Action.OPEN_CLUTCH),
}

TABLE: dict[tuple[State, Signal], tuple[State, Action]] = {
    **{(State.WORKING, signal): then for signal, then in _SETTLED.items()},
    (State.WORKING, Signal.DEADLINE): (State.PULLING, Action.PULL),
    **{(State.RESTING, signal): then for signal, then in _SETTLED.items()},
    (State.RESTING, Signal.DEADLINE): (State.PULLING, Action.PULL),
    **{(State.PULLING, signal): then for signal, then in _SETTLED.items()},
    (State.PULLING, Signal.DEADLINE): (State.STUCK, Action.OPEN_CLUTCH),
    **{(State.CHASING, signal): then for signal, then in _SETTLED.items()},
    # A chase whose outcome is not known must be pulled before anything is given back.
    (State.CHASING, Signal.DEADLINE): (State.PULLING, Action.PULL),
    **{(State.UNWINDING, signal): then for signal, then in _SETTLED.items()},
    # Once giving back has begun there is no way forward again.
    (State.UNWINDING, Signal.LOPSIDED): (State.UNWINDING, Action.SEND_BACK),
    (State.UNWINDING, Signal.DEADLINE): (State.PULLING, Action.PULL),
    **{(state, Signal.FILLING): (state, Action.SEND_HEDGE) for state in LIVING},
}
