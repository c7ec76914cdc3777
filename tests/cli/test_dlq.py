"""`streamjobs dlq`."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.errors import TopicError
from streamjobs.exit_codes import ExitCode
from streamjobs.failures import settle
from streamjobs.failures.marks import Intent, Purged, Replayed
from streamjobs.record import Header
from tests.support.letters import death, letter_message, mark_message

Streamjobs = Callable[..., tuple[int, str, str]]

SOURCE = "user-updates"
DEAD = "user-updates.dead"
PLACE = TopicPartition(DEAD, 0)
JOB: Header = ("streamjobs-job", b"update")
BODY = b'{"job": "update", "id": "1", "kwargs": {"user_id": 7}}'


class Office:
    """The dead letters of the app `accounts`."""

    def __init__(self, accounts: Any) -> None:
        self.cluster = accounts.cluster
        self.app = accounts.app
        self.cluster.create(DEAD, 1)

    def bury(
        self,
        value: bytes | None = BODY,
        key: bytes | None = b"7",
        *,
        source: str = SOURCE,
        **died: Any,
    ) -> str:
        """A letter about a record; returns its id."""
        message = letter_message(
            key, value, source=f"{source}/0/3", headers=[JOB], died=death(**died), place=PLACE
        )
        return self.cluster.append(message).id

    def mark(self, mark: Any) -> None:
        self.cluster.append(mark_message(mark, PLACE))

    @property
    def sent(self) -> list[bytes | None]:
        """What stands on the source topic."""
        return [record.value for record in self.cluster.log(SOURCE, 0).records]


@pytest.fixture
def office(accounts: Any, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setattr(settle, "PAUSE", 0)
    return Office(accounts)


def said(out: str) -> Any:
    return json.loads(out)


def lines(out: str) -> list[Any]:
    return [json.loads(line) for line in out.splitlines()]


# All of them.


@pytest.mark.parametrize("command", ["list", "replay", "purge", "show"])
def test_each_command_has_help_with_an_example(streamjobs: Streamjobs, command: str) -> None:
    code, out, _ = streamjobs("dlq", command, "--help")
    assert code == 0
    assert f"python -m streamjobs dlq {command} accounts:app" in out


def test_without_a_command_there_is_help(streamjobs: Streamjobs) -> None:
    code, out, err = streamjobs("dlq")
    assert code == ExitCode.USAGE
    assert "Usage: " in out + err


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize(
    "command, says",
    [("list", "no dead letters"), ("replay", "none replayed"), ("purge", "none purged")],
)
def test_where_there_is_no_dead_letter_topic_there_are_no_letters(
    streamjobs: Streamjobs, command: str, says: str
) -> None:
    code, out, err = streamjobs("dlq", command, "accounts:app")
    assert code == 0
    assert says in out + err


@pytest.mark.parametrize("command", ["list", "replay", "purge"])
def test_a_broker_that_does_not_answer_is_an_error(
    streamjobs: Streamjobs, office: Office, command: str
) -> None:
    office.app.broker.faults.away = True
    code, _, err = streamjobs("dlq", command, "accounts:app")
    assert code == ExitCode.ERROR
    assert err.startswith("error: the broker in memory is away")


@pytest.mark.usefixtures("office")
@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--since", "yesterday"], "'yesterday' is no time"),
        (["--id", "user-updates.dead"], "'user-updates.dead' is no id of a letter"),
        (["--broker", "embedded"], "an embedded broker ends with this command"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    streamjobs: Streamjobs, arguments: list[str], reason: str
) -> None:
    code, out, err = streamjobs("dlq", "list", "accounts:app", *arguments)
    assert (code, out) == (ExitCode.USAGE, "")
    assert reason in err


@pytest.mark.usefixtures("office")
def test_a_letter_that_does_not_exist_is_an_error(streamjobs: Streamjobs) -> None:
    code, _, err = streamjobs("dlq", "replay", "accounts:app", "--id", f"{DEAD}/0/9")
    assert code == ExitCode.ERROR
    assert f"there is no such dead letter: {DEAD}/0/9" in err


@pytest.mark.parametrize("command", ["replay", "purge"])
def test_a_letter_asked_for_that_is_closed_already_is_named(
    streamjobs: Streamjobs, office: Office, command: str
) -> None:
    office.bury(key=b"open")
    letter = office.bury()
    office.mark(Purged([1]))
    code, _, err = streamjobs("dlq", command, "accounts:app", "--id", letter)

    assert code == 0
    assert f"{letter} is purged already" in err
    assert office.sent == []


def test_letters_of_another_app_are_left_out_and_it_is_said(
    streamjobs: Streamjobs, office: Office
) -> None:
    office.bury(b"mine")
    office.bury(b"theirs", group="billing")
    _, _, err = streamjobs("dlq", "replay", "accounts:app")

    assert office.sent == [b"mine"]
    assert "1 open letters of other apps are left out: --group '*' takes all" in err


def test_letters_of_another_app_can_be_asked_for(streamjobs: Streamjobs, office: Office) -> None:
    office.bury(b"theirs", group="billing")
    _, _, err = streamjobs("dlq", "replay", "accounts:app", "--group", "*")

    assert office.sent == [b"theirs"]
    assert "left out" not in err


def test_another_topic_can_be_looked_into(streamjobs: Streamjobs, office: Office) -> None:
    office.cluster.create("elsewhere", 1)
    office.cluster.append(letter_message(place=TopicPartition("elsewhere", 0)))
    _, out, _ = streamjobs("dlq", "list", "accounts:app", "--dlq", "elsewhere", "--json")

    assert [letter["id"] for letter in lines(out)] == ["elsewhere/0/0"]


def test_records_of_another_kind_are_left_alone_and_it_is_said(
    streamjobs: Streamjobs, office: Office
) -> None:
    office.cluster.append(Message(DEAD, b"hello", partition=0))
    code, _, err = streamjobs("dlq", "list", "accounts:app")

    assert code == 0
    assert "1 records on these topics are no dead letters" in err


# list


def test_the_list_names_each_open_letter(streamjobs: Streamjobs, office: Office) -> None:
    letter = office.bury(error=TimeoutError("no answer\nfor 3 s"))
    code, out, err = streamjobs("dlq", "list", "accounts:app")

    assert code == 0
    for cell in (
        letter,
        f"{SOURCE}/0/3",
        "update",
        "TimeoutError",
        "no answer",
        "1970-01-01 00:16",
    ):
        assert cell in out
    assert "for 3 s" not in out
    assert "1 dead letter" in err


def test_a_letter_is_a_line_of_json_with_all_that_is_known(
    streamjobs: Streamjobs, office: Office
) -> None:
    letter = office.bury(BODY, b"\xff", error=TimeoutError("no answer"))
    _, out, _ = streamjobs("dlq", "list", "accounts:app", "--json")

    [told] = lines(out)
    assert told.pop("traceback").startswith("TimeoutError: no answer")
    assert told == {
        "id": letter,
        "state": "open",
        "topic": SOURCE,
        "partition": 0,
        "offset": 3,
        "timestamp": 500,
        "group": "accounts",
        "job": "update",
        "key": {"base64": "/w=="},
        "value": BODY.decode(),
        "headers": [["streamjobs-job", "update"]],
        "attempts": 3,
        "error": "TimeoutError",
        "message": "no answer",
        "first": "1970-01-01T00:16:30.000+00:00",
        "last": "1970-01-01T00:16:40.000+00:00",
        "sequenced": False,
    }


def test_letters_that_are_closed_are_listed_on_request(
    streamjobs: Streamjobs, office: Office
) -> None:
    ids = [office.bury() for _ in range(4)]
    ends = {TopicPartition(SOURCE, 0): 0}
    for mark in (Purged([0]), Intent("r", [1], ends), Replayed("r", [1]), Intent("s", [2], ends)):
        office.mark(mark)

    _, out, _ = streamjobs("dlq", "list", "accounts:app", "--json")
    assert [letter["id"] for letter in lines(out)] == ids[2:]
    _, out, _ = streamjobs("dlq", "list", "accounts:app", "--json", "--all")
    states = [letter["state"] for letter in lines(out)]
    assert states == ["purged", "replayed", "replaying", "open"]
    _, out, _ = streamjobs("dlq", "list", "accounts:app", "--all")
    assert all(state in out for state in states)


@pytest.mark.parametrize(
    "filters",
    [
        ["--job", "up*"],
        ["--error", "TimeoutError"],
        ["--key", "8"],
        ["--since", "1970-01-01T01:00"],
        ["--until", "50000d"],
        ["--topic", "user-*", "--key", "8"],
        ["--id", f"{DEAD}/0/1"],
    ],
)
def test_a_filter_chooses(streamjobs: Streamjobs, office: Office, filters: list[str]) -> None:
    ids = [
        office.bury(),
        office.bury(key=b"8", error=TimeoutError("late"), last=7200.0),
    ]
    _, out, _ = streamjobs("dlq", "list", "accounts:app", "--json", *filters)

    expected = {"--job": ids, "--until": []}.get(filters[0], ids[1:])
    assert [letter["id"] for letter in lines(out)] == expected


def test_a_list_that_goes_elsewhere_is_as_wide_as_it_needs_to_be(
    streamjobs: Streamjobs, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    letter = office.bury(error=TimeoutError("no answer within three seconds"))
    _, out, _ = streamjobs("dlq", "list", "accounts:app")

    assert letter in out
    assert "no answer within three seconds" in out


def test_the_list_can_be_cut_short_and_says_so(streamjobs: Streamjobs, office: Office) -> None:
    for _ in range(3):
        office.bury()
    _, out, err = streamjobs("dlq", "list", "accounts:app", "--limit", "2")

    assert f"{DEAD}/0/1" in out
    assert f"{DEAD}/0/2" not in out
    assert "3 dead letters, of which 2 are shown" in err


@pytest.mark.parametrize(
    "by, expected",
    [
        ("error", [("ValueError", 2), ("TimeoutError", 1)]),
        ("job", [("update", 3)]),
        ("key", [("7", 2), ("8", 1)]),
        ("topic", [(SOURCE, 3)]),
    ],
)
def test_letters_can_be_counted(
    streamjobs: Streamjobs, office: Office, by: str, expected: list[tuple[str, int]]
) -> None:
    office.bury(key=b"8", error=TimeoutError("late"))
    office.bury()
    office.bury()

    _, out, _ = streamjobs("dlq", "list", "accounts:app", "--by", by, "--json")
    assert [(group[by], group["letters"]) for group in lines(out)] == expected
    _, out, err = streamjobs("dlq", "list", "accounts:app", "--by", by)
    assert all(name in out for name, _ in expected)
    assert "3 dead letters" in err


def test_nothing_in_a_letter_is_taken_for_markup_or_moves_the_cursor(
    streamjobs: Streamjobs, office: Office
) -> None:
    letter = office.bury(key=b"[/b]\x1b[2J", error=ValueError("[red]\x1b[2J[/x]"))
    for arguments in (["list", "accounts:app"], ["show", "accounts:app", letter]):
        code, out, _ = streamjobs("dlq", *arguments)
        assert code == 0
        assert "\x1b" not in out
        assert "[/b]" in out
        assert "[red]" in out


# show


def test_a_letter_is_shown_with_its_value_headers_and_traceback(
    streamjobs: Streamjobs, office: Office
) -> None:
    letter = office.bury(error=TimeoutError("no answer"))
    code, out, _ = streamjobs("dlq", "show", "accounts:app", letter)

    assert code == 0
    assert '"user_id": 7' in out
    assert "streamjobs-job" in out
    assert "TimeoutError: no answer" in out


def test_a_closed_letter_of_any_app_can_be_shown(streamjobs: Streamjobs, office: Office) -> None:
    letter = office.bury(group="billing")
    office.mark(Purged([0]))
    _, out, _ = streamjobs("dlq", "show", "accounts:app", letter, "--json")

    assert (said(out)["state"], said(out)["group"]) == ("purged", "billing")


@pytest.mark.parametrize("value, shown", [(None, "tombstone"), (b"\xff{", "\\xff{"), (b"a", "a")])
def test_a_value_that_is_no_json_is_shown_as_it_is(
    streamjobs: Streamjobs, office: Office, value: bytes | None, shown: str
) -> None:
    _, out, _ = streamjobs("dlq", "show", "accounts:app", office.bury(value))
    assert shown in out


@pytest.mark.usefixtures("office")
def test_what_is_not_there_cannot_be_shown(streamjobs: Streamjobs) -> None:
    code, _, err = streamjobs("dlq", "show", "accounts:app", "nowhere/0/0")
    assert code == ExitCode.ERROR
    assert "there is no such dead letter: nowhere/0/0" in err


# replay


def test_a_replay_sends_what_is_chosen_and_says_how_much(
    streamjobs: Streamjobs, office: Office
) -> None:
    for key in (b"7", b"8", b"7"):
        office.bury(key, key)
    code, out, err = streamjobs("dlq", "replay", "accounts:app", "--key", "7")

    assert (code, out, err) == (0, "2 letters replayed\n", "")
    assert office.sent == [b"7", b"7"]


def test_a_replay_shows_how_far_it_is_on_a_terminal_only(
    streamjobs: Streamjobs, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.bury()
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    _, out, err = streamjobs("dlq", "replay", "accounts:app")

    assert out == "1 letter replayed\n"
    assert "1/1" in err


def test_what_is_replayed_runs(streamjobs: Streamjobs, office: Office, accounts: Any) -> None:
    office.bury()
    streamjobs("dlq", "replay", "accounts:app")
    streamjobs("run", "accounts:app", "--until-idle")

    assert accounts.calls == [(7, "")]


def test_a_replay_can_be_limited(streamjobs: Streamjobs, office: Office) -> None:
    for number in range(3):
        office.bury(b"%d" % number)
    streamjobs("dlq", "replay", "accounts:app", "--limit", "2")

    assert office.sent == [b"0", b"1"]


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(
    streamjobs: Streamjobs, office: Office
) -> None:
    office.bury()
    end = office.cluster.log(*PLACE).end
    _, out, _ = streamjobs("dlq", "replay", "accounts:app", "--dry-run")

    assert out == f"1 letter would be sent to {SOURCE}\n"
    _, out, _ = streamjobs("dlq", "replay", "accounts:app", "--dry-run", "--json")
    assert said(out) == {"dry_run": True, "letters": 1, "topics": {SOURCE: 1}, "interrupted": 0}
    assert (office.sent, office.cluster.log(*PLACE).end) == ([], end)


def test_an_interrupted_replay_is_ended_first(streamjobs: Streamjobs, office: Office) -> None:
    office.bury()
    office.mark(Intent("r", [0], {TopicPartition(SOURCE, 0): 0}))
    _, out, _ = streamjobs("dlq", "replay", "accounts:app", "--dry-run")
    assert "1 letter of an interrupted replay would be looked for first" in out

    _, out, _ = streamjobs("dlq", "replay", "accounts:app")

    assert "an interrupted replay: 0 letters had arrived, 1 had not" in out
    assert len(office.sent) == 1


def test_what_cannot_be_sent_is_named_and_is_an_error(
    streamjobs: Streamjobs, office: Office
) -> None:
    gone, later = office.bury(source="gone"), office.bury(source="gone")
    code, out, err = streamjobs("dlq", "replay", "accounts:app")

    assert (code, out) == (1, "none replayed\n")
    assert f"{gone}: there is no topic 'gone' any more" in err
    assert f"{later}: waits for {gone}" in err


def test_a_replay_is_summed_up_as_json(streamjobs: Streamjobs, office: Office) -> None:
    good, gone = office.bury(), office.bury(source="gone")
    _, out, _ = streamjobs("dlq", "replay", "accounts:app", "--json")

    told = said(out)
    [record] = office.cluster.log(SOURCE, 0).records
    assert record.header("streamjobs-replay-of") == good.encode()
    assert record.header("streamjobs-replay") == told.pop("replay").encode()
    assert told == {
        "replayed": 1,
        "found": 0,
        "reopened": 0,
        "failed": {gone: "there is no topic 'gone' any more"},
        "held_back": {},
    }


def test_of_many_letters_that_cannot_be_sent_some_are_named(
    streamjobs: Streamjobs, office: Office
) -> None:
    for number in range(12):
        office.bury(key=b"%d" % number, source="gone")
    _, _, err = streamjobs("dlq", "replay", "accounts:app")

    assert "12 letters could not be sent and stay open" in err
    assert "and 2 more: --json names all" in err


# purge


def test_a_purge_needs_a_yes_where_nobody_can_be_asked(
    streamjobs: Streamjobs, office: Office
) -> None:
    office.bury()
    code, _, err = streamjobs("dlq", "purge", "accounts:app")

    assert code == ExitCode.USAGE
    assert "Purge 1 dead letter for good? There is no terminal to ask on: say --yes" in err
    assert len(office.cluster.log(*PLACE).records) == 1


@pytest.mark.parametrize("answer, left", [("y\n", 0), ("n\n", 1), ("", 1)])
def test_a_purge_asks_on_a_terminal(
    streamjobs: Streamjobs,
    office: Office,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    left: int,
) -> None:
    office.bury()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    code, _, _ = streamjobs("dlq", "purge", "accounts:app")

    assert code == left
    assert len(office.cluster.log(*PLACE).records) == left


class Terminal:
    """Somebody who types one line."""

    def __init__(self, line: str) -> None:
        self._line = line

    def readline(self, *_: object) -> str:
        return self._line

    def isatty(self) -> bool:
        return True


def test_a_purge_gives_up_what_is_chosen_and_removes_what_it_can(
    streamjobs: Streamjobs, office: Office
) -> None:
    for key in (b"7", b"8", b"7"):
        office.bury(key=key)
    _, out, _ = streamjobs("dlq", "purge", "accounts:app", "--key", "7", "--yes", "--json")

    assert said(out) == {"purged": 2, "removed": {f"{DEAD}/0": 1}}
    assert office.cluster.log(*PLACE).start == 1
    _, out, _ = streamjobs("dlq", "list", "accounts:app", "--json", "--all")
    assert [letter["state"] for letter in lines(out)] == ["open", "purged"]


def test_a_purge_removes_what_was_replayed(streamjobs: Streamjobs, office: Office) -> None:
    office.bury()
    streamjobs("dlq", "replay", "accounts:app")
    code, out, _ = streamjobs("dlq", "purge", "accounts:app")

    assert (code, out) == (0, "none purged; settled ones removed from 1 partitions\n")
    assert office.cluster.log(*PLACE).records == []


def test_a_dry_run_purges_nothing(streamjobs: Streamjobs, office: Office) -> None:
    office.bury()
    _, out, _ = streamjobs("dlq", "purge", "accounts:app", "--dry-run")

    assert out == "1 would be purged\n"
    assert office.cluster.log(*PLACE).end == 1


def test_where_records_cannot_be_removed_the_marks_do(
    streamjobs: Streamjobs, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise TopicError("this broker deletes nothing")

    monkeypatch.setattr(office.app.broker, "delete_records", refuse)
    office.bury()
    code, out, err = streamjobs("dlq", "purge", "accounts:app", "--yes")

    assert (code, out) == (0, "1 purged\n")
    assert "the records stay: this broker deletes nothing" in err
    assert "no dead letters" in streamjobs("dlq", "list", "accounts:app")[2]
