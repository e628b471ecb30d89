"""The table of leg groups is itself the thing under test."""

from itertools import product

from oneprice.core.legs import ENDS, LIVING, TABLE, Action, Signal, State


def test_every_living_state_answers_every_signal() -> None:
    assert set(TABLE) == set(product(LIVING, Signal))


def test_deadlines_always_lead_to_an_end() -> None:
    for start in LIVING:
        state, steps = start, 0
        while state not in ENDS:
            state, _ = TABLE[state, Signal.DEADLINE]
            steps += 1
            assert steps < len(State), "deadline edges form a cycle"


def test_every_state_can_be_reached() -> None:
    reached = frontier = {State.WORKING, State.RESTING}
    while frontier:
        frontier = {after for (before, _), (after, _) in TABLE.items() if before in frontier}
        frontier = frontier - reached
        reached = reached | frontier
    assert reached == set(State)


def test_stuck_always_opens_the_clutch_and_nothing_else_does() -> None:
    for after, action in TABLE.values():
        assert (after is State.STUCK) is (action is Action.OPEN_CLUTCH)


def test_giving_back_never_turns_into_chasing_by_itself() -> None:
    after = {TABLE[State.UNWINDING, signal][0] for signal in Signal}
    assert State.CHASING not in after


def test_following_a_resting_leg_changes_no_state() -> None:
    for state in LIVING:
        assert TABLE[state, Signal.FILLING] == (state, Action.SEND_HEDGE)


def test_nothing_leads_back_to_a_resting_leg() -> None:
    """Once it is being cancelled, no further order may rest."""
    for (before, signal), (after, _) in TABLE.items():
        assert after is not State.RESTING or (before, signal) == (after, Signal.FILLING)


def test_only_signals_that_use_up_attempts_can_repeat() -> None:
    """Without LOPSIDED and SPENT (attempts) and FILLING (lots of the resting leg, or attempts)
    the table has no cycle, so every path is bounded."""
    edges = {
        before: {
            TABLE[before, signal][0]
            for signal in Signal
            if signal not in (Signal.LOPSIDED, Signal.SPENT, Signal.FILLING)
        }
        for before in LIVING
    }

    def ends(state: State, path: tuple[State, ...]) -> bool:
        if state in ENDS:
            return True
        return state not in path and all(ends(after, (*path, state)) for after in edges[state])

    assert all(ends(state, ()) for state in LIVING)
