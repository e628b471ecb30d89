"""Seeds outside of the usual ones that did not hold once; they are run for ever.

A seed is a world only together with `app.world.plan`. Those within the usual range are not
repeated here; what they found is told by the tests that came of it.
"""

KEPT: dict[int, str] = {
    316: "a venue cut a reduce-only order to the position that was left",
    319: "limits were widened against a price band until the group was stuck",
    340: "the same, in calm weather",
    345: "nothing reached a venue that had banned our address, and nothing ended",
}
