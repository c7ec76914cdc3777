"""Where a handler is, or was when it raised."""

from __future__ import annotations

import asyncio
import sys
import traceback
from typing import Final

__all__ = ("place_of", "stack_of", "text_of", "trace_of")

TEXT_CHARACTERS: Final = 1_000


def stack_of(worker: object) -> str | None:
    """The stack of a thread (by its ident) or of an asyncio task, the innermost call last; None
    where it cannot be seen from here (another process).
    """
    if isinstance(worker, asyncio.Task):
        frames = worker.get_stack()
        return "".join(traceback.format_list([_summary(frame) for frame in frames]))
    if isinstance(worker, int):
        frame = sys._current_frames().get(worker)
        return None if frame is None else "".join(traceback.format_stack(frame))
    return None


def trace_of(error: BaseException) -> str:
    """The traceback, with what the error was caused by. Without the marks under each line that the
    interpreter shows: finding them takes longer than all else, and a thousand records may fail in a
    second.
    """
    parts = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        joint = "was the direct cause of" if error.__cause__ else "was being handled during"
        parts.append(f"{trace_of(cause)}\n(the above {joint} the following)\n\n")
    frames = [
        traceback.FrameSummary(frame.f_code.co_filename, number, frame.f_code.co_name)
        for frame, number in traceback.walk_tb(error.__traceback__)
    ]
    if frames:
        parts.append("Traceback (most recent call last):\n")
        parts += traceback.format_list(frames)
    parts.append(_last_line(error))
    return "".join(parts)


def text_of(error: BaseException) -> str:
    """The class of an error and what it says, cut to a bounded length; never raises."""
    try:
        text = str(error)
    except Exception as failure:
        text = f"<its message cannot be read: {type(failure).__name__}>"
    if len(text) > TEXT_CHARACTERS:
        text = text[:TEXT_CHARACTERS] + "..."
    return f"{type(error).__name__}: {text}"


def place_of(error: BaseException) -> tuple[type, str, int]:
    """The class of an error, and the file and line where it was raised."""
    last = ("", 0)
    for frame, number in traceback.walk_tb(error.__traceback__):
        last = (frame.f_code.co_filename, number)
    return (type(error), *last)


def _last_line(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception_only(error))
    except Exception:
        return text_of(error) + "\n"


def _summary(frame: object) -> traceback.FrameSummary:
    return traceback.extract_stack(frame, limit=1)[0]  # type: ignore[arg-type]
