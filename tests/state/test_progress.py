"""How far the restoring of stores has got: bars on a terminal, lines elsewhere."""

import io
import sys

import pytest
import structlog
from rich.console import Console
from structlog.testing import capture_logs

from streamjobs import logs
from streamjobs.broker.ports import TopicPartition
from streamjobs.state.progress import BAR_AFTER, TELL_EVERY, Bars, Lines, Told, restoring_on
from streamjobs.testing.simulation.clock import VirtualClock

A, B = TopicPartition("changelog-a", 0), TopicPartition("changelog-b", 3)


class Terminal:
    """A terminal of which everything is kept, and the bars on it."""

    def __init__(self) -> None:
        self.file = io.StringIO()
        self.console = Console(file=self.file, force_terminal=True, width=120, color_system=None)
        self.clock = VirtualClock()
        self.bars = Bars(self.console, self.clock)

    def tell(self, told: Told, done: int, seconds: float = 1.0) -> None:
        self.clock.advance(seconds)
        told.tell(done)

    def shown(self) -> str:
        """What was written since the last time."""
        text = self.file.getvalue()
        self.file.seek(0)
        self.file.truncate()
        return text


def test_what_is_restored_at_once_shows_nothing() -> None:
    terminal = Terminal()
    told = terminal.bars.begin(A, 100)
    terminal.tell(told, 50, BAR_AFTER / 2)
    told.end(complete=True)
    assert terminal.shown() == ""


def test_several_stores_have_a_bar_each_with_rate_and_time_left() -> None:
    terminal = Terminal()
    first, second = terminal.bars.begin(A, 10_000), terminal.bars.begin(B, 500)
    for done in range(1, 5):
        terminal.tell(first, 1000 * done, 0.5)
        terminal.tell(second, 10 * done, 0.5)
    shown = terminal.shown()
    first.end(complete=True)
    second.end(complete=True)
    assert "restoring changelog-a[0]" in shown
    assert "restoring changelog-b[3]" in shown
    assert "4000/10000" in shown
    assert "1,000/s" in shown
    assert "0:00:06" in shown


def test_they_are_drawn_no_more_often_than_anybody_sees() -> None:
    terminal = Terminal()
    told = terminal.bars.begin(A, 10_000)
    terminal.tell(told, 1)
    terminal.shown()
    for done in range(1000):
        told.tell(done)
    assert terminal.shown() == ""
    told.end(complete=True)


def test_lines_of_the_log_go_above_the_bars_while_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal.file)
    logs.configure("json", verbose=False)
    told = terminal.bars.begin(A, 10)
    terminal.tell(told, 1)
    terminal.shown()
    structlog.get_logger().info("a line")
    during = terminal.shown()
    told.end(complete=False)
    terminal.shown()
    structlog.get_logger().info("another")
    after = terminal.shown()
    structlog.reset_defaults()
    line, bar = during.index("a line"), during.rindex("restoring changelog-a[0]")
    assert line < bar
    assert after.startswith("{")
    assert sys.stderr is terminal.file


def test_a_bar_whose_partition_goes_is_gone_too_and_the_store_is_not_restored() -> None:
    terminal = Terminal()
    told = terminal.bars.begin(A, 10)
    terminal.tell(told, 1)
    with capture_logs() as lines:
        told.end(complete=False)
        told.end(complete=True)
    assert lines == []


@pytest.mark.parametrize("in_a_terminal", [True, False])
def test_that_it_took_long_is_news_when_it_is_over(in_a_terminal: bool) -> None:
    clock = VirtualClock()
    kind = Bars(Console(file=io.StringIO(), force_terminal=True), clock)
    told = (kind if in_a_terminal else Lines(clock)).begin(A, 10)
    with capture_logs() as lines:
        clock.advance(TELL_EVERY)
        told.tell(5)
        told.end(complete=True)
    last = lines[-1]
    assert (last["event"], last["log_level"]) == ("state restored", "info")
    assert (last["changelog"], last["offsets"], last["seconds"]) == (str(A), 10, TELL_EVERY)


def test_elsewhere_there_is_a_line_now_and_then() -> None:
    clock = VirtualClock()
    told = restoring_on(Console(file=io.StringIO()), clock).begin(A, 100)
    with capture_logs() as lines:
        for done in range(11):
            told.tell(done)
            clock.advance(1)
    assert [line["offsets"] for line in lines] == [5, 10]
