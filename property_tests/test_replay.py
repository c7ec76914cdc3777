"""Replays that die at any call to the broker: run again, each letter arrives once, in order."""

import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from streamjobs import headers
from streamjobs.broker.memory import MemoryBroker
from streamjobs.broker.ports import Message
from streamjobs.failures import replay
from streamjobs.failures.marks import Purged
from streamjobs.record import Record
from tests.support.letters import DEAD, SOURCE, PostOffice
from tests.support.mortal import Killed, Life, MortalBroker

PARTITIONS = 2

LETTERS = st.lists(
    st.tuples(st.integers(0, PARTITIONS - 1), st.sampled_from([b"a", b"b", None])), max_size=14
)
"""The partition and the key of each."""

LIVES = st.lists(st.integers(0, 60), max_size=6)
"""How many calls each replay makes until it dies."""


@given(LETTERS, st.sets(st.integers(0, 4)), LIVES, st.integers(1, 5), st.integers(0, 2**32))
def test_each_open_letter_arrives_once_and_in_the_order_of_its_key(
    letters: Sequence[tuple[int, bytes | None]],
    purged: set[int],
    lives: Sequence[int],
    batch: int,
    seed: int,
) -> None:
    dice = random.Random(seed)
    post = PostOffice({SOURCE: PARTITIONS})
    ids = [post.bury(key, partition=partition) for partition, key in letters]
    post.mark(Purged(sorted(purged)))
    with patch.object(replay, "BATCH_LETTERS", batch):
        for number, calls in enumerate([*lives, None]):
            post.broker = MortalBroker(MemoryBroker(post.cluster), Life(calls, dice))
            with suppress(Killed):
                post.replay(ident=f"r{number}")
            somebody_else_writes(post, dice)

    arrived = [record for number in range(PARTITIONS) for record in replayed(post, number)]
    assert sorted(map(letter_id, arrived)) == sorted(
        set(ids) - {f"{DEAD}/0/{offset}" for offset in purged}
    )
    assert_in_order(arrived)
    post.broker = MemoryBroker(post.cluster)
    assert set(post.states().values()) <= {"replayed", "purged"}


def somebody_else_writes(post: PostOffice, dice: random.Random) -> None:
    """Records and gaps that are of no concern to a replay."""
    for partition in range(PARTITIONS):
        post.cluster.append(Message(SOURCE, b"other", b"a", partition=partition))
        post.cluster.skip(SOURCE, partition, dice.randrange(3))
        post.cluster.skip(DEAD, partition, dice.randrange(3))


def replayed(post: PostOffice, partition: int) -> list[Record]:
    """What a replay wrote there."""
    return [each for each in post.arrived(partition=partition) if each.header(headers.REPLAY)]


def letter_id(record: Record) -> str:
    return (record.header(headers.REPLAY_OF) or b"").decode()


def assert_in_order(arrived: Sequence[Record]) -> None:
    """Each key as it was on its dead-letter partition, which is where it was before."""
    orders: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for record in arrived:
        dead, partition, offset = letter_id(record).split("/")
        assert (dead, int(partition)) == (DEAD, record.partition)
        if record.key is not None:
            orders[record.partition, record.key].append(int(offset))
    assert all(offsets == sorted(offsets) for offsets in orders.values())
