"""`streamjobs state`."""

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamjobs.broker.memory import MemoryBroker
from streamjobs.broker.ports import Commit, Message, TopicPartition
from streamjobs.engine.completion_map import decode, encode
from streamjobs.engine.notes import read_notes, write_changelog_ends
from streamjobs.exit_codes import ExitCode
from streamjobs.state.rocks import RocksStores
from streamjobs.state.store import StoreId
from tests.support.members import Member, poll_until

Streamjobs = Callable[..., tuple[int, str, str]]

SHOP = """
    from streamjobs import App, Context
    from streamjobs.broker.memory import MemoryBroker, MemoryCluster

    cluster = MemoryCluster({"orders": 2})
    app = App("shop", broker=MemoryBroker(cluster), commit_interval=0.02)
    counts = []

    @app.stream("orders", value="str", state=["carts", "visits"])
    def count(_: str, ctx: Context) -> None:
        seen = ctx.store("carts").update("seen", lambda n: n + 1, default=0)
        ctx.store("visits").set("last", seen)
        counts.append((ctx.record.key.decode(), seen))
"""
CHANGELOG = "changelog__shop--orders--carts"
CARTS = [StoreId("orders", 0, "carts"), StoreId("orders", 1, "carts")]
VISITS = [StoreId("orders", 0, "visits"), StoreId("orders", 1, "visits")]


class Shop:
    """An app with two stores on a Kafka in memory, and its directory."""

    def __init__(self, module: Any, folder: Path) -> None:
        self.cluster, self.app, self.counts = module.cluster, module.app, module.counts
        self.state_dir = folder / "state"
        self.stores = RocksStores(self.state_dir, "shop")

    def order(self, *keys: str) -> None:
        """One more order of each key."""
        for key in keys:
            self.cluster.append(Message("orders", b"x", key.encode()))

    def sell(self, *keys: str) -> dict[str, int]:
        """The same, and run the app over them; returns the last counts."""
        del self.counts[:]
        self.order(*keys)
        assert self.app.run(until_idle=True) == 0
        return dict(self.counts)

    def commits(self) -> list[Commit]:
        return self.cluster.commits("shop", [TopicPartition("orders", n) for n in (0, 1)])

    def ends(self) -> list[tuple[int, ...]]:
        """What the commits say of the ends of the changelogs."""
        return [
            tuple(read_notes(each.offset, decode(each.offset, each.metadata).fields).changelog_ends)
            for each in self.commits()
        ]

    def pretend_ends(self, ends: tuple[int, ...]) -> None:
        """As if the changelogs had been longer once: they were deleted and made again."""
        told = []
        for partition, offset, metadata in self.commits():
            runs, fields = decode(offset, metadata)
            changed = encode(offset, runs, {**fields, **write_changelog_ends(ends)})
            told.append(Commit(partition, offset, changed))
        self.cluster.amend("shop", told)

    def age(self, store: StoreId, seconds: float) -> None:
        """It was last used so long ago."""
        folder = self.state_dir / "shop" / store.store / store.topic / str(store.partition)
        then = self.stores.used(store) - seconds
        for file in folder.iterdir():
            os.utime(file, (then, then))


@pytest.fixture
def shop(module: Callable[[str, str], None], folder: Path) -> Shop:
    module("shop", SHOP)
    sys.path.insert(0, str(folder))
    return Shop(importlib.import_module("shop"), folder)


KEYS = "abcdefgh"


def said(out: str) -> Any:
    return json.loads(out)


# list


@pytest.mark.parametrize("command", ["list", "clean", "reset"])
def test_each_command_has_help_with_an_example(streamjobs: Streamjobs, command: str) -> None:
    code, out, _ = streamjobs("state", command, "--help")
    assert code == 0
    assert f"python -m streamjobs state {command} accounts:app" in out


@pytest.mark.usefixtures("accounts")
def test_without_a_state_directory_there_is_nothing_and_none_is_made(
    streamjobs: Streamjobs, folder: Path
) -> None:
    assert "no stores" in streamjobs("state", "list", "accounts:app")[1]
    assert "nothing to clean" in streamjobs("state", "clean", "accounts:app")[1]
    assert "nothing to reset" in streamjobs("state", "reset", "accounts:app")[1]
    assert not (folder / "state").exists()


def test_the_list_says_what_there_is(streamjobs: Streamjobs, shop: Shop) -> None:
    shop.sell(*KEYS)
    code, out, _ = streamjobs("state", "list", "shop:app", "--json")
    stores = [said(line) for line in out.splitlines()]
    assert code == 0
    assert [(each["topic"], each["partition"], each["store"]) for each in stores] == [
        *CARTS[:1], *VISITS[:1], *CARTS[1:], *VISITS[1:]
    ]  # fmt: skip
    assert sum(each["entries"] for each in stores) == 2 * len(KEYS)
    assert all(each["bytes"] > 0 and each["declared"] and not each["open"] for each in stores)


def test_the_list_shows_what_is_open_and_what_is_not_declared(
    streamjobs: Streamjobs, shop: Shop
) -> None:
    shop.stores.open("orders", 0, "old").close()
    store = shop.stores.open(*CARTS[0])
    _, out, _ = streamjobs("state", "list", "shop:app")
    store.close()
    lines = out.splitlines()
    assert [line for line in lines if "not declared" in line and "old" in line]
    assert [line for line in lines if "open" in line and "carts" in line]
    assert lines[-1] == "2 stores in state"


def test_filters_choose(streamjobs: Streamjobs, shop: Shop) -> None:
    shop.sell(*KEYS)
    _, out, _ = streamjobs(
        "state", "list", "shop:app", "--json", "--store", "vis*", "--partition", "1"
    )
    assert [said(line)["store"] for line in out.splitlines()] == ["visits"]


# clean


def test_clean_deletes_what_is_not_declared_and_what_is_old(
    streamjobs: Streamjobs, shop: Shop
) -> None:
    shop.sell(*KEYS)
    shop.stores.open("orders", 0, "old").close()
    shop.age(CARTS[0], 8 * 24 * 3600)
    code, out, _ = streamjobs("state", "clean", "shop:app", "--yes", "--json")
    assert (code, said(out)) == (0, {"stores": ["orders/0/carts", "orders/0/old"], "open": []})
    assert shop.stores.found() == [VISITS[0], CARTS[1], VISITS[1]]


def test_how_old_can_be_said(streamjobs: Streamjobs, shop: Shop) -> None:
    shop.sell(*KEYS)
    shop.age(VISITS[1], 3600)
    _, out, _ = streamjobs("state", "clean", "shop:app", "--older-than", "30m", "--yes")
    assert out.splitlines() == ["deleted: visits of orders[1]"]


def test_clean_leaves_alone_what_is_open_and_says_so(streamjobs: Streamjobs, shop: Shop) -> None:
    store = shop.stores.open("orders", 0, "old")
    code, out, _ = streamjobs("state", "clean", "shop:app", "--yes")
    store.close()
    assert (code, out) == (0, "left alone, a process has it open: old of orders[0]\n")
    assert shop.stores.found() == [StoreId("orders", 0, "old")]


def test_a_dry_run_deletes_nothing(streamjobs: Streamjobs, shop: Shop) -> None:
    shop.stores.open("orders", 0, "old").close()
    _, out, _ = streamjobs("state", "clean", "shop:app", "--dry-run")
    assert out == "would be deleted: old of orders[0]\n"
    assert shop.stores.found()


@pytest.mark.parametrize("command", ["clean", "reset"])
def test_without_a_terminal_it_has_to_be_said_that_it_is_meant(
    streamjobs: Streamjobs, shop: Shop, command: str
) -> None:
    shop.stores.open("orders", 0, "old").close()
    code, _, err = streamjobs("state", command, "shop:app")
    assert code == ExitCode.USAGE
    assert "There is no terminal to ask on: say --yes" in err
    assert shop.stores.found()


# reset


def test_reset_has_the_next_start_restore_from_the_changelog(
    streamjobs: Streamjobs, shop: Shop
) -> None:
    shop.sell(*KEYS)
    code, out, _ = streamjobs("state", "reset", "shop:app", "--yes")
    assert (code, out) == (0, "4 stores deleted here\n")
    assert shop.stores.found() == []
    assert shop.sell(*KEYS) == dict.fromkeys(KEYS, 2)


def test_reset_mends_files_that_are_damaged(streamjobs: Streamjobs, shop: Shop) -> None:
    shop.sell(*KEYS)
    (shop.state_dir / "shop" / "carts" / "orders" / "0" / "CURRENT").write_text("nonsense\n")
    streamjobs("state", "reset", "shop:app", "--yes", "--partition", "0", "--store", "carts")
    assert len(shop.stores.found()) == 3
    assert shop.sell(*KEYS) == dict.fromkeys(KEYS, 2)


def test_with_the_changelog_the_app_begins_with_no_state_and_does_nothing_again(
    streamjobs: Streamjobs, shop: Shop
) -> None:
    shop.sell(*KEYS)
    before = [each.offset for each in shop.commits()]
    code, out, _ = streamjobs("state", "reset", "shop:app", "--changelog", "--yes", "--json")
    assert code == 0
    assert (said(out)["tombstones"], said(out)["commits"]) == (2 * len(KEYS), 2)
    assert [each.offset for each in shop.commits()] == before
    assert shop.ends() == [(), ()]
    assert shop.sell(*KEYS) == dict.fromkeys(KEYS, 1)


def test_only_what_is_chosen_is_reset(streamjobs: Streamjobs, shop: Shop) -> None:
    shop.sell(*KEYS)
    carts, visits = shop.ends()[0]
    streamjobs("state", "reset", "shop:app", "--changelog", "--store", "visits", "--yes")
    assert shop.ends()[0] == (carts, 0)
    assert visits
    assert shop.sell(*KEYS) == dict.fromkeys(KEYS, 2)


def test_what_is_complete_above_the_frontier_stays_so(streamjobs: Streamjobs, shop: Shop) -> None:
    shop.sell(*KEYS)
    first = shop.commits()[0]
    fields = write_changelog_ends((3, 4)) | {"z": "unknown"}
    told = first._replace(metadata=encode(first.offset, [(first.offset + 2, 5)], fields))
    shop.cluster.amend("shop", [told])
    streamjobs("state", "reset", "shop:app", "--changelog", "--yes")
    runs, left = decode(told.offset, shop.commits()[0].metadata)
    assert list(runs) == [(first.offset + 2, 5)]
    assert left == {"z": "unknown"}


def test_the_state_of_an_app_that_runs_is_not_reset(streamjobs: Streamjobs, shop: Shop) -> None:
    shop.sell(*KEYS)
    before, ends = shop.cluster.log(CHANGELOG, 0).end, shop.ends()
    member = Member(MemoryBroker(shop.cluster, "elsewhere"), "shop", "orders")
    poll_until(lambda: member.held, member)
    code, _, err = streamjobs("state", "reset", "shop:app", "--changelog", "--yes")
    member.leave()
    assert code == ExitCode.ERROR
    assert "group 'shop' has members: stop all processes of the app" in err
    assert shop.cluster.log(CHANGELOG, 0).end == before
    assert (shop.ends(), len(shop.stores.found())) == (ends, 4)


def test_stores_that_are_open_are_not_reset(streamjobs: Streamjobs, shop: Shop) -> None:
    store = shop.stores.open(*CARTS[0])
    code, _, err = streamjobs("state", "reset", "shop:app", "--yes")
    store.close()
    assert code == ExitCode.ERROR
    assert "a process has carts of orders[0] open: stop the app on this machine first" in err


def test_a_dry_run_names_stores_and_changelogs(streamjobs: Streamjobs, shop: Shop) -> None:
    shop.sell(*KEYS)
    before = shop.cluster.log(CHANGELOG, 0).end
    _, out, _ = streamjobs("state", "reset", "shop:app", "--changelog", "--dry-run", "--json")
    assert len(said(out)["stores"]) == len(said(out)["changelogs"]) == 4
    assert shop.cluster.log(CHANGELOG, 0).end == before
    assert len(shop.stores.found()) == 4


def test_an_embedded_broker_has_no_changelogs_to_empty(streamjobs: Streamjobs, shop: Shop) -> None:
    code, _, err = streamjobs(
        "state", "reset", "shop:app", "--changelog", "--yes", "--broker", "embedded"
    )
    assert code == ExitCode.USAGE
    assert "an embedded broker ends with this command" in err


def test_a_store_on_another_machine_hears_of_the_reset(streamjobs: Streamjobs, shop: Shop) -> None:
    shop.sell(*KEYS)
    (shop.state_dir).rename(shop.state_dir.with_name("elsewhere"))
    streamjobs("state", "reset", "shop:app", "--changelog", "--yes")
    (shop.state_dir.with_name("elsewhere")).rename(shop.state_dir)
    assert shop.sell(*KEYS) == dict.fromkeys(KEYS, 1)


def test_where_a_changelog_was_made_anew_the_app_stops_and_reset_mends_it(
    streamjobs: Streamjobs, shop: Shop
) -> None:
    shop.app.override(transaction_timeout=0.1)
    shop.sell(*KEYS)
    shop.pretend_ends((1000, 1000))
    shop.order("a")
    code, _, err = streamjobs("run", "shop:app", "--until-idle")
    assert code == ExitCode.ERROR
    assert "python -m streamjobs state reset MODULE:APP --changelog --topic orders" in err
    streamjobs("state", "reset", "shop:app", "--changelog", "--topic", "orders", "--yes")
    assert shop.sell() == {"a": 1}
