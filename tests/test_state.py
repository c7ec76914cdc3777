"""What handlers remember: `ctx.state` and its kin, in an app in memory."""

from typing import Any

import pytest
from pydantic import BaseModel

from streamjobs import App, Context, Retry, VirtualPartitions, current_context
from streamjobs.errors import ConfigurationError
from streamjobs.state.errors import StateNeedsKeyError, StateNotDeclaredError
from streamjobs.testing import TestDriver


class Account(BaseModel):
    owner: str
    balance: int = 0


@pytest.fixture
def app() -> App:
    return App("shop")


# What is kept.


def test_each_key_has_values_of_its_own(app: App) -> None:
    seen = []

    @app.stream("clicks", value="str", state=True)
    def count(_: str, ctx: Context) -> None:
        seen.append((ctx.record.key, ctx.state.update("seen", lambda seen: seen + 1, default=0)))

    with TestDriver(app) as driver:
        for key in "aba":
            driver.send("clicks", "x", key=key)
        driver.run_until_idle()

    assert sorted(seen) == [(b"a", 1), (b"a", 2), (b"b", 1)]


def test_a_job_has_the_state_of_its_key(app: App) -> None:
    balances = []

    @app.job(topic="payments", key="account", state=True)
    def pay(account: str, amount: int) -> None:
        state = current_context().state
        balances.append(state.update("balance", lambda balance: balance + amount, default=0))

    with TestDriver(app) as driver:
        pay.enqueue("ada", 5)
        pay.enqueue("bob", 1)
        pay.enqueue("ada", 7)
        driver.run_until_idle()

    assert sorted(balances) == [1, 5, 12]


def test_a_value_is_a_model_where_that_is_asked_for(app: App) -> None:
    seen: list[Account | None] = []
    plain = []

    @app.stream("payments", value="json", state=True)
    def pay(amount: int, ctx: Context) -> None:
        account = ctx.state_for(Account)
        seen.append(account.get())
        account.update(
            lambda before: Account(owner=before.owner, balance=before.balance + amount),
            Account(owner="Ada"),
        )
        plain.append(ctx.state.get("Account"))

    with TestDriver(app) as driver:
        driver.send("payments", 5, key="ada")
        driver.run_until_idle()
        driver.send("payments", 7, key="ada")
        driver.run_until_idle()

    assert seen == [None, Account(owner="Ada", balance=5)]
    assert plain[-1] == {"owner": "Ada", "balance": 12}


def test_two_values_of_one_model_have_names(app: App) -> None:
    seen = []

    @app.stream("payments", value="json", state=True)
    def pay(amount: int, ctx: Context) -> None:
        ctx.state_for(Account, "savings").set(Account(owner="Ada", balance=amount))
        seen.append((ctx.state_for(Account).get(), ctx.state_for(Account, "savings").get()))

    with TestDriver(app) as driver:
        driver.send("payments", 5, key="ada")
        driver.run_until_idle()

    assert seen == [(None, Account(owner="Ada", balance=5))]


def test_a_value_is_gone_when_its_time_is_over(app: App) -> None:
    seen = []

    @app.stream("clicks", value="str", state=True)
    def click(what: str, ctx: Context) -> None:
        if what == "set":
            ctx.state.set("short", 1, ttl=600)
            ctx.state.set("long", 1, ttl=3600)
        seen.append((ctx.state.exists("short"), ctx.state.exists("long")))

    with TestDriver(app) as driver:
        driver.send("clicks", "set", key="k")
        driver.run_until_idle()
        driver.advance(600)
        driver.send("clicks", "look", key="k")
        driver.run_until_idle()

    assert seen == [(True, True), (False, True)]


def changelog(driver: TestDriver) -> dict[bytes | None, bytes | None]:
    """What is left of it when it is compacted."""
    outputs = driver.outputs("changelog__shop--clicks--default")
    return {each.key: each.value for each in outputs}


def test_what_is_over_is_deleted_from_the_changelog_too(app: App) -> None:
    @app.stream("clicks", value="str", state=True)
    def click(what: str, ctx: Context) -> None:
        ctx.state.set(what, 1, ttl=60 if what == "short" else 7200)

    with TestDriver(app) as driver:
        driver.send("clicks", "short", key="k")
        driver.send("clicks", "long", key="k")
        driver.run_until_idle()
        for _ in range(10):
            driver.advance(60)

    left = changelog(driver)
    assert left[b'k|"short"'] is None
    assert left[b'k|"long"'] is not None


def test_what_was_set_again_meanwhile_is_not_deleted(app: App) -> None:
    seen = []

    @app.stream("clicks", value="str", state=True)
    def click(_: str, ctx: Context) -> None:
        seen.append(ctx.state.update("n", lambda n: n + 1, default=0, ttl=90))

    with TestDriver(app) as driver:
        for _ in range(20):
            driver.send("clicks", "x", key="k")
            driver.advance(60)

    assert seen == list(range(1, 21))


# Several stores.


def test_stores_are_kept_apart(app: App) -> None:
    seen: list[dict[str, Any]] = []

    @app.stream("clicks", value="str", state=["a", "b"])
    def click(what: str, ctx: Context) -> None:
        if what == "set":
            ctx.store("a").set("value", "of a")
            ctx.store("b").set("value", "of b")
        seen.append({name: ctx.store(name).get("value") for name in ("a", "b")})

    with TestDriver(app) as driver:
        driver.send("clicks", "set", key="k")
        driver.run_until_idle()
        driver.restart(crash=True)
        driver.send("clicks", "look", key="k")
        driver.run_until_idle()

    assert seen == [{"a": "of a", "b": "of b"}] * 2


def test_the_first_one_is_ctx_state(app: App) -> None:
    seen = []

    @app.stream("clicks", value="str", state=["a", "b"])
    def click(_: str, ctx: Context) -> None:
        ctx.state.set("value", 1)
        seen.append((ctx.store("a").get("value"), ctx.store("b").get("value")))

    with TestDriver(app) as driver:
        driver.send("clicks", "x", key="k")
        driver.run_until_idle()

    assert seen == [(1, None)]


# Where there is none.


def test_a_store_that_is_not_declared_is_named_with_those_that_are(app: App) -> None:
    @app.stream("clicks", value="str", state=["a", "b"])
    def click(_: str, ctx: Context) -> None:
        ctx.store("c").get("value")

    with TestDriver(app) as driver:
        driver.send("clicks", "x", key="k")
        with pytest.raises(StateNotDeclaredError, match=r"'click' has no store 'c'.*'a', 'b'"):
            driver.run_until_idle()


def test_a_handler_that_declares_none_is_told_what_to_add(app: App) -> None:
    @app.stream("clicks", value="str")
    def click(_: str, ctx: Context) -> None:
        ctx.state.set("value", 1)

    with TestDriver(app) as driver:
        driver.send("clicks", "x", key="k")
        with pytest.raises(StateNotDeclaredError, match="add state=True to its decorator"):
            driver.run_until_idle()


def test_a_record_without_a_key_has_no_state(app: App) -> None:
    @app.stream("clicks", value="str", state=True)
    def click(_: str, ctx: Context) -> None:
        ctx.state.set("value", 1)

    with TestDriver(app) as driver:
        driver.send("clicks", "x")
        with pytest.raises(StateNeedsKeyError, match="this record has no ordering key"):
            driver.run_until_idle()


def test_a_record_without_a_key_is_handled_if_its_state_is_left_alone(app: App) -> None:
    seen = []

    @app.stream("clicks", value="str", state=True)
    def click(what: str, ctx: Context) -> None:
        if ctx.record.key is not None:
            ctx.state.set("value", 1)
        seen.append(what)

    with TestDriver(app) as driver:
        driver.send("clicks", "x")
        driver.run_until_idle()

    assert seen == ["x"]


# Attempts that fail, and processes that die.


def test_a_failed_attempt_leaves_nothing(app: App) -> None:
    seen = []

    @app.stream("clicks", value="str", state=["a", "b"], retry=Retry(attempts=3))
    def click(what: str, ctx: Context) -> None:
        counts = [
            ctx.store(name).update("seen", lambda seen: seen + 1, default=0) for name in ("a", "b")
        ]
        seen.append((what, *counts))
        if what == "bad" and ctx.attempt < 3:
            raise ConnectionError

    with TestDriver(app, on_error="retry") as driver:
        for what in ("good", "bad", "good"):
            driver.send("clicks", what, key="k")
        driver.run_until_idle()

    assert seen == [("good", 1, 1), *[("bad", 2, 2)] * 3, ("good", 3, 3)]


def test_a_record_that_is_given_up_leaves_nothing(app: App) -> None:
    seen = []

    @app.stream(
        "clicks", value="str", state=True, retry=Retry(attempts=2), on_failure="dead_letter"
    )
    def click(what: str, ctx: Context) -> None:
        seen.append((what, ctx.state.get("last")))
        ctx.state.set("last", what)
        if what == "bad":
            raise ValueError(what)

    with TestDriver(app, on_error="retry") as driver:
        for what in ("good", "bad", "after"):
            driver.send("clicks", what, key="k")
        driver.run_until_idle()
        assert len(driver.dead_letters("clicks")) == 1

    assert seen == [("good", None), ("bad", "good"), ("bad", "good"), ("after", "good")]


@pytest.mark.parametrize("crash", [True, False])
def test_what_was_committed_is_there_after_a_restart(app: App, crash: bool) -> None:
    seen = []

    @app.stream("clicks", value="str", state=True)
    def click(_: str, ctx: Context) -> None:
        seen.append(ctx.state.update("seen", lambda seen: seen + 1, default=0))

    with TestDriver(app) as driver:
        driver.send("clicks", "x", key="k")
        driver.run_until_idle()
        driver.restart(crash=crash)
        driver.send("clicks", "x", key="k")
        driver.run_until_idle()
        driver.check()

    assert seen == [1, 2]


def test_what_was_not_committed_is_gone_with_the_crash_and_done_again(app: App) -> None:
    seen = []

    @app.stream("clicks", value="str", state=True)
    def click(_: str, ctx: Context) -> None:
        seen.append(ctx.state.update("seen", lambda seen: seen + 1, default=0))

    with TestDriver(app) as driver:
        driver.send("clicks", "x", key="k")
        driver.run_until_idle()
        driver.send("clicks", "x", key="k")
        driver.run_until_quiet()
        driver.restart(crash=True)
        driver.run_until_idle()
        driver.check()

    assert seen == [1, 2, 2]


# What it cannot be combined with.


def count(value: int) -> None: ...


def test_without_an_order_there_is_no_state(app: App) -> None:
    unordered = VirtualPartitions(4, ordering="none")
    with pytest.raises(ConfigurationError, match='count: ordering="none" keeps no order'):
        app.job(topic="jobs", virtual_partitions=unordered, state=True)(count)
    with pytest.raises(ConfigurationError, match='count: ordering="none" keeps no order'):
        app.stream("clicks", virtual_partitions=unordered, state=["a", "b"])(count)
