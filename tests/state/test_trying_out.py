"""State on a broker without transactions: for trying out."""

from collections import Counter

import pytest
from structlog.testing import capture_logs

from streamjobs import App, Context
from streamjobs.broker.ports import Message
from streamjobs.broker.quix.broker import QuixBroker
from streamjobs.errors import SettingError

KEYS = [f"k{number % 5}" for number in range(100)]


def test_values_go_on_from_run_to_run_and_the_log_says_that_it_is_for_trying_out() -> None:
    app = App("trying-out", broker="embedded", partitions=2, commit_interval=0.1)
    last: dict[str, int] = {}

    @app.stream("orders", value="str", state=True)
    def count(_: str, ctx: Context) -> None:
        key = (ctx.record.key or b"").decode()
        last[key] = ctx.state.update("n", lambda n: n + 1, default=0)

    with capture_logs() as lines:
        for _ in range(2):  # the second one finds it on the changelog
            for key in KEYS:
                app.publisher.send(Message("orders", b"x", key.encode()), lambda delivery: None)
            app.publisher.flush()
            app.run(until_idle=True)
    app.close()

    assert last == Counter(KEYS + KEYS)
    told = [line for line in lines if line["event"].startswith("state is for trying out here")]
    assert [line["log_level"] for line in told] == ["warning", "warning"]


def test_exactly_once_is_refused_there_also_by_its_address() -> None:
    with pytest.raises(SettingError, match="none worth the name"):
        _ = App("trying-out", broker="embedded", guarantee="exactly-once").settings
    assert not QuixBroker("localhost:1", mock=True).has_transactions
