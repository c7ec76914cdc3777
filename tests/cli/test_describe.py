"""`streamjobs describe`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Streamjobs = Callable[..., tuple[int, str, str]]
Module = Callable[[str, str], None]

SHOP = """
    from streamjobs import App, VirtualPartitions
    from streamjobs.pipelines import parallel

    app = App("shop", broker="nowhere:1")

    @app.job(topic="mails", key="to", virtual_partitions=1)
    def send(to: str) -> None: ...

    @app.job(topic="mails", state=["sent"])
    def forget(to: str) -> None: ...

    @app.stream("clicks", to="seen")
    async def click(value):
        return value

    @app.pipeline(click)
    def clicks(sdf):
        sdf.apply(lambda value, state: value, stateful=True).to_topic(app.topic("clicked"))

    async def ask(value):
        return value

    @app.pipeline("orders", virtual_partitions=VirtualPartitions(8, distribution="balanced"))
    def orders(sdf):
        sdf = parallel(sdf, ask).group_by("city")
        sdf.tumbling_window(1000).count().current().to_topic(app.topic("by-city"))
"""
REPARTITION = "repartition__shop--orders.ask--city"
ORDERED = {"count": 64, "distribution": "consistent", "ordering": "key"}


@pytest.fixture
def shop(module: Module) -> None:
    module("shop", SHOP)


@pytest.fixture
def described(shop: None, streamjobs: Streamjobs) -> dict[str, Any]:
    """The topics of the shop, by name."""
    code, out, _ = streamjobs("describe", "shop:app", "--format", "json")
    assert code == 0
    report = json.loads(out)
    assert report["app"] == "shop"
    return {topic["name"]: topic for topic in report["topics"]}


def handler(
    name: str,
    kind: str,
    runs: str,
    parallel: dict[str, str] | None = None,
    writes: tuple[str, ...] = (),
    stores: tuple[str, ...] = (),
    sinks: tuple[str, ...] = (),
    tables: tuple[str, ...] = (),
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "runs": runs,
        "parallel": parallel,
        "writes": [*writes],
        "stores": [*stores],
        "sinks": [*sinks],
        "tables": [*tables],
    }


def test_jobs_of_a_topic_share_all_but_their_own_stores(described: dict[str, Any]) -> None:
    assert described["mails"] == {
        "name": "mails",
        "repartition": False,
        "handlers": [
            handler("send", "job", "threads"),
            handler("forget", "job", "threads", stores=("sent",)),
        ],
        "virtual_partitions": ORDERED | {"count": 1},
        "stores": [{"name": "sent", "changelog": "changelog__shop--mails--sent"}],
        "together": [],
        "dead_letter": "mails.dead",
    }


def test_a_pipeline_comes_behind_the_stream_handler_that_feeds_it(
    described: dict[str, Any],
) -> None:
    click, clicks = described["clicks"]["handlers"]

    assert click == handler("click", "stream", "asyncio", writes=("seen",))
    assert (clicks["name"], clicks["kind"]) == ("clicks", "pipeline")
    assert clicks["writes"] == ["clicked"]
    assert clicks["stores"] == [store["name"] for store in described["clicks"]["stores"]] != []


def test_a_parallel_stage_says_what_it_runs_on(described: dict[str, Any]) -> None:
    stage = {"name": "ask", "runs": "asyncio"}

    assert described["orders"]["handlers"] == [
        handler("orders", "pipeline", "inline", stage, writes=(REPARTITION,))
    ]
    assert described["orders"]["virtual_partitions"]["distribution"] == "balanced"
    assert not described["orders"]["stores"]


def test_what_group_by_makes_is_a_topic_with_stores_of_its_own(described: dict[str, Any]) -> None:
    made = described[REPARTITION]
    window = "tumbling_window_1000_count"

    assert made["repartition"]
    assert made["handlers"] == [
        handler("orders", "pipeline", "inline", writes=("by-city",), stores=(window,))
    ]
    assert made["stores"] == [
        {
            "name": window,
            "changelog": f"changelog__shop--repartition.orders.ask.city--{window}",
        }
    ]
    assert made["virtual_partitions"]["count"] == 8


@pytest.mark.usefixtures("shop")
def test_the_text_is_a_tree_with_no_name_cut(streamjobs: Streamjobs) -> None:
    code, out, _ = streamjobs("describe", "shop:app")

    assert code == 0
    assert "├── mails\n│   ├── 1 virtual partition: each partition is one order\n" in out
    assert "store sent with changelog changelog__shop--mails--sent\n" in out
    assert "parallel stage ask (asyncio)\n" in out
    assert f"└── {REPARTITION} (made by group_by)\n" in out
    assert "--tumbling_window_1000_count\n" in out
    assert "given up → clicks.dead\n" in out


@pytest.mark.usefixtures("shop")
def test_the_flowchart_leads_from_topic_to_topic(streamjobs: Streamjobs) -> None:
    code, out, _ = streamjobs("describe", "shop:app", "--format", "mermaid")
    lines = [line.strip() for line in out.splitlines()]
    boxes = {text: name for name, _, text in (line.partition("[") for line in lines)}

    orders = next(line for line in lines if line.endswith('(["orders"]):::topic')).split("(")[0]
    stage = boxes['"orders<br/>pipeline, parallel: ask (asyncio)"]']
    made = next(line for line in lines if REPARTITION + "<br/>" in line).split("(")[0]
    behind = boxes['"orders<br/>pipeline, inline"]']
    store = next(line for line in lines if '[("tumbling_window' in line).split("[")[0]
    dead = next(line for line in lines if '(["orders.dead"])' in line).split("(")[0]
    assert code == 0
    assert lines[0] == "flowchart LR"
    assert f'{orders} -- "8 virtual partitions" --> {stage}' in lines
    assert f"{stage} --> {made}" in lines
    assert f'{made} -- "8 virtual partitions" --> {behind}' in lines
    assert f"{behind} --- {store}" in lines
    assert f'{orders} -. "given up" .-> {dead}' in lines


PLACES = """
    from quixstreams.sinks import BatchingSink
    from streamjobs import App

    class Warehouse(BatchingSink):
        def write(self, batch): ...

    app = App("places")
    cities = app.table("cities")

    @app.pipeline("orders", "payments")
    def paid(orders, payments):
        paid = orders.join_asof(payments, on_merge=lambda order, payment: order)
        paid = paid.join_lookup(cities.lookup(), {"city": cities.field("name")}, on="zip")
        paid.sink(Warehouse())
"""


def test_topics_that_are_joined_say_so_with_tables_and_sinks(
    streamjobs: Streamjobs, module: Module
) -> None:
    module("places", PLACES)
    _, out, _ = streamjobs("describe", "places:app", "--format", "json")

    report = json.loads(out)
    orders, payments = report["topics"]
    [store] = orders["stores"]
    assert report["tables"] == ["cities"]
    assert (orders["together"], payments["together"]) == (["payments"], ["orders"])
    assert orders["stores"] == payments["stores"]
    assert orders["handlers"] == [
        handler(
            "paid",
            "pipeline",
            "inline",
            stores=(store["name"],),
            sinks=("Warehouse",),
            tables=("cities",),
        )
    ]


def test_topics_that_are_joined_lead_to_one_box(streamjobs: Streamjobs, module: Module) -> None:
    module("places", PLACES)
    _, out, _ = streamjobs("describe", "places:app", "--format", "mermaid")

    lines = [line.strip() for line in out.splitlines()]
    [box] = [line.partition("[")[0] for line in lines if '"paid<br/>' in line]
    assert sum(line.endswith(f'-- "64 virtual partitions" --> {box}') for line in lines) == 2
    assert sum(line.startswith(f"{box} --- ") for line in lines) == 1
    assert sum(line.endswith(f'-. "looked up" .-> {box}') for line in lines) == 1
    assert any('>"sink Warehouse"]' in line for line in lines)
    assert any('(["cities<br/>table"])' in line for line in lines)


def test_a_name_cannot_break_the_flowchart(streamjobs: Streamjobs, module: Module) -> None:
    module(
        "odd",
        """
        from streamjobs import App
        app = App("odd")

        @app.stream("end", name='a "quoted" <b>#1</b> `tick`')
        def handle(value): ...
        """,
    )
    _, out, _ = streamjobs("describe", "odd:app", "--format", "mermaid")

    label = "a #34;quoted#34; #60;b#62;#35;1#60;/b#62; #96;tick#96;<br/>stream, threads"
    assert f'["{label}"]' in out
    assert '(["end"])' in out


def test_an_app_with_nothing_says_so(streamjobs: Streamjobs, module: Module) -> None:
    module("empty", "from streamjobs import App\napp = App('empty')")

    code, out, _ = streamjobs("describe", "empty:app")

    assert code == 0
    assert "no jobs, stream handlers or pipelines" in out


def test_a_pipeline_that_cannot_be_built_is_the_users_to_mend(
    streamjobs: Streamjobs, module: Module
) -> None:
    module(
        "refused",
        """
        from streamjobs import App
        app = App("refused")

        @app.pipeline("readings")
        def readings(sdf):
            sdf.tumbling_window(1000).count().final(closing_strategy="partition")
        """,
    )
    code, _, err = streamjobs("describe", "refused:app")

    assert code == 2
    assert 'closing_strategy="partition"' in err
