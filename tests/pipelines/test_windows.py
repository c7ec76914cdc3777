"""Windows: what is told about late records, and values of many keys in one group."""

from pathlib import Path
from typing import Any

import pytest
from quixstreams.dataframe import StreamingDataFrame

from streamjobs import App
from streamjobs.testing import TestDriver
from tests.support.pipelines_reference import MakeTopic, Reference
from tests.support.pipelines_runs import app_for, by_key, input_record, play


@pytest.mark.parametrize("count", [1, 8])
def test_late_records_are_reported_as_quix_reports_them(count: int, tmp_path: Path) -> None:
    reported: list[tuple[Any, ...]] = []

    def program(sdf: StreamingDataFrame, topic: MakeTopic) -> None:
        def late(value: Any, key: bytes, timestamp: int, late_by: int, *more: Any) -> bool:
            start, end, name, source, _partition, _offset = more
            reported.append((key.split(b"@")[0], timestamp, late_by, start, end, name, source))
            return False

        sdf.tumbling_window(10, on_late=late).count().final().to_topic(topic("out"))

    records = [input_record("ab"[n % 2], n, moment) for n, moment in enumerate((5, 50, 25, 11, 9))]
    reference = Reference(program, tmp_path)
    reference.run(records)
    reference.close()
    expected, reported[:] = sorted(reported), ()

    play(app_for(program, count), records)

    assert len(expected) == 2
    assert sorted(reported) == expected


@pytest.mark.parametrize("count", [1, 8, 64])
def test_a_group_of_many_keys_gets_all_their_records_one_by_one(count: int, tmp_path: Path) -> None:
    def program(sdf: StreamingDataFrame, topic: MakeTopic) -> None:
        def nth(value: Any, state: Any) -> int:
            state.set("nth", state.get("nth", 0) + 1)
            return int(state.get("nth"))

        grouped = sdf.set_timestamp(lambda *_: 1).set_headers(lambda *_: []).group_by("kind")
        grouped.apply(nth, stateful=True).to_topic(topic("out"))

    records = [input_record("abcdefg"[n % 7], n, n) for n in range(40)]
    reference = Reference(program, tmp_path)
    expected = by_key(reference.run(records))
    reference.close()

    assert by_key(play(app_for(program, count), records, partitions=3)) == expected


def test_topics_that_are_picked_from_a_collection_are_known(app: App) -> None:
    @app.pipeline("in")
    def pick(sdf: StreamingDataFrame) -> None:
        by_name = {name: app.topic(name) for name in ("x", "y")}
        in_a_list = [app.topic("z")]
        sdf.to_topic(lambda value, *_: by_name.get(value, in_a_list[0]))

    assert app.topics["in"].outputs == ["x", "y", "z"]


def test_the_timestamp_of_a_window_is_its_start(app: App) -> None:
    @app.pipeline("in")
    def count(sdf: StreamingDataFrame) -> None:
        sdf.tumbling_window(10).count().final().to_topic(app.topic("out"))

    with TestDriver(app) as driver:
        for moment in (13, 17, 40):
            driver.send("in", 1, key="k", timestamp=moment)
        driver.run_until_idle()

        (output,) = driver.outputs("out")
        assert output.json() == {"start": 10, "end": 20, "value": 2}
        assert output.timestamp == 10
