"""Tables on a real Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamjobs import App
from streamjobs.broker.connect import connect
from streamjobs.broker.ports import Message, TopicSpec
from streamjobs.exit_codes import ExitCode
from streamjobs.settings import Settings

pytestmark = pytest.mark.kafka

KEYS = 3_000


def test_each_start_reads_all_of_the_table_before_the_first_record(
    kafka: str, topic_name: str, tmp_path: Path
) -> None:
    carriers_topic, flights = f"{topic_name}.carriers", f"{topic_name}.flights"
    broker = connect(Settings(broker=kafka))
    broker.create_topics([TopicSpec(carriers_topic, 3), TopicSpec(flights, 1)], 10.0)
    producer = broker.producer({})

    def write(topic: str, key: str, value: str | None) -> None:
        producer.send(Message(topic, None if value is None else value.encode(), key.encode()))

    for number in range(KEYS):
        write(carriers_topic, str(number), str(number))
    write(flights, "a", "7")
    producer.flush(30)
    seen: list[tuple[int, object]] = []

    def run() -> ExitCode:
        app = App(topic_name, broker=kafka, state_dir=str(tmp_path))
        carriers = app.table(carriers_topic)

        @app.stream(flights)
        def look(flight: int) -> None:
            seen.append((len(carriers), carriers.get(flight)))

        try:
            return app.run(until_idle=True)
        finally:
            app.close()

    first = run()
    write(carriers_topic, "7", "70")
    write(carriers_topic, "8", None)
    write(flights, "a", "7")
    producer.flush(30)
    second = run()
    broker.close()

    assert (first, second) == (ExitCode.OK, ExitCode.OK)
    assert seen == [(KEYS, 7), (KEYS - 1, 70)]
