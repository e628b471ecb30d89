"""Lines: topics are spread over the fewest connections that the venue's limits allow."""

from hypothesis import given
from hypothesis import strategies as st

from oneprice.shell.lines import ARGS_SPARE_CHARS, shards
from oneprice.venues.contract import Ping, SocketSpec, Topic

PING = Ping(b"", 1000, 5000)


def spec(topics_max: int = 200, args_chars_max: int = 0) -> SocketSpec:
    return SocketSpec(
        name="s", role="public", market="", host="ws", path="", ping=PING,
        topics_max=topics_max, args_chars_max=args_chars_max,
    )  # fmt: skip


def topic(text: str) -> Topic:
    return Topic("s", text, "v:m:" + text, True)


@given(
    st.lists(st.text("ab.", min_size=1, max_size=40), max_size=300),
    st.integers(1, 50),
    st.sampled_from([0, 300, 1000]),
)
def test_every_topic_is_carried_once_in_order_within_both_limits(texts, most, chars) -> None:
    found = list(shards(spec(most, chars), [topic(t) for t in texts]))
    assert [t.text for shard in found for t in shard] == texts
    for shard in found:
        assert 0 < len(shard) <= most
        if chars and len(shard) > 1:
            assert sum(len(t.text) for t in shard) + ARGS_SPARE_CHARS <= chars


@given(st.integers(0, 700), st.integers(1, 200))
def test_no_connection_more_than_needed_is_opened(count, most) -> None:
    found = list(shards(spec(most), [topic(str(n)) for n in range(count)]))
    assert len(found) == -(-count // most)
