"""Rehearsals change nothing: not what is decided, not what is counted."""

from oneprice.strategies.cross_exchange import CrossExchange
from tests.build import World, a_perp, a_ready_world

A, B = a_perp("alpha"), a_perp("beta")


def trade(rehearsals: int) -> World:
    world = a_ready_world([A, B], [CrossExchange()])
    for bid, ask in (("59998", "60000"), ("60298", "60300"), ("59999", "60001")):
        world.quote(A, "59998", "60000")
        world.quote(B, bid, ask)
        for _ in range(rehearsals):
            world.engine.rehearsal.step()
        world.turn()
        world.run(1_000)
        for _ in range(rehearsals):
            world.engine.rehearsal.step()
    return world


def test_a_rehearsed_world_decides_and_counts_what_an_unrehearsed_one_does() -> None:
    plain, rehearsed = trade(0), trade(7)
    assert rehearsed.engine.rehearsal.intent is not None
    assert rehearsed.sent == plain.sent and plain.sent
    assert rehearsed.decisions == plain.decisions
    report, other = plain.engine.report, rehearsed.engine.report
    assert report.counts() == other.counts()
    assert report.refusals() == other.refusals()
    assert report.profit() == other.profit()
