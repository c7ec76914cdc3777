"""What needs the clock of a whole partition, where every key has its own progress."""

from __future__ import annotations

from streamjobs.errors import PipelineError
from streamjobs.pipelines.captured import captured
from streamjobs.pipelines.quix import ClosingStrategy, Stream, Window

__all__ = ("refuse_what_is_partition_wide",)


def refuse_what_is_partition_wide(pipeline: str, root: Stream) -> None:
    """Refuse windows that the time of other keys closes.

    Raises:
        PipelineError: names the window, and what to do.
    """
    for window in captured(root):
        strategy = getattr(window, "_closing_strategy", None)
        if isinstance(window, Window) and strategy is ClosingStrategy.PARTITION:
            raise PipelineError(
                f'pipeline {pipeline!r}: window {window.name!r} has closing_strategy="partition": '
                "with virtual partitions, keys of one partition run ahead of each other, and one "
                "would close the windows of another too early. Leave it out (each key then closes "
                "its own windows), or give the pipeline virtual_partitions=1"
            )
