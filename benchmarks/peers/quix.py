"""Plain Quix Streams, with the same handler as an operator of a dataframe."""

import logging
import tempfile

from quixstreams import Application

from benchmarks.peers.common import Run
from benchmarks.peers.task import Task


def main() -> None:
    run = Run(Task.given())
    task, handle = run.task, run.handle
    logging.disable(logging.WARNING)
    app = Application(
        broker_address=task.broker,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        commit_interval=1.0,
        consumer_extra_config={"fetch.queue.backoff.ms": 10},
        state_dir=tempfile.mkdtemp(),
        loglevel=None,
    )
    frame = app.dataframe(app.topic(task.topic, key_deserializer="bytes"))
    if task.work == "emit":
        frame = frame.update(handle)
        frame.to_topic(app.topic(task.output, key_serializer="bytes"))
    else:
        frame.update(handle)
    run.watch(app.stop)
    app.run()
    run.report()


if __name__ == "__main__":
    main()
