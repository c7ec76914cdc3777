"""`streamjobs enqueue`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from streamjobs.exit_codes import ExitCode

Streamjobs = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.usefixtures("accounts")


def test_it_says_where_the_record_stands_as_json(streamjobs: Streamjobs, accounts: Any) -> None:
    code, out, _ = streamjobs("enqueue", "accounts:app", "update", "--json", '{"user_id": 7}')

    (record,) = accounts.cluster.log("user-updates", 0).records
    said = json.loads(out)
    assert code == ExitCode.OK
    assert (said["topic"], said["partition"], said["offset"]) == ("user-updates", 0, 0)
    assert record.header("streamjobs-id") == said["id"].encode()


def test_what_was_enqueued_runs(streamjobs: Streamjobs, accounts: Any) -> None:
    streamjobs("enqueue", "accounts:app", "update", "--json", '{"user_id": 7, "name": "Ada"}')
    streamjobs("run", "accounts:app", "--until-idle")

    assert accounts.calls == [(7, "Ada")]


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ("{user_id: 7}", "--json is not JSON"),
        ("[7]", "--json has to be an object: arguments by parameter name"),
        ("7", "--json has to be an object"),
    ],
)
def test_what_is_no_object_of_json_is_refused(
    streamjobs: Streamjobs, arguments: str, reason: str
) -> None:
    code, out, err = streamjobs("enqueue", "accounts:app", "update", "--json", arguments)
    assert (code, out) == (ExitCode.USAGE, "")
    assert reason in err


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ("{}", "user_id: Field required"),
        ('{"user_id": "Ada"}', "user_id: Input should be a valid integer"),
        ('{"user_id": 7, "age": 3}', "unexpected keyword argument 'age'"),
    ],
)
def test_arguments_that_do_not_fit_are_named_and_nothing_is_sent(
    streamjobs: Streamjobs, accounts: Any, arguments: str, reason: str
) -> None:
    code, out, err = streamjobs("enqueue", "accounts:app", "update", "--json", arguments)

    assert (code, out) == (ExitCode.USAGE, "")
    assert reason in err
    assert not accounts.cluster.log("user-updates", 0).records


def test_an_unknown_job_is_refused_with_those_there_are(streamjobs: Streamjobs) -> None:
    code, _, err = streamjobs("enqueue", "accounts:app", "upgrade")
    assert code == ExitCode.USAGE
    assert "app 'accounts' has no job 'upgrade'; known are: update" in err


def test_an_embedded_broker_is_refused(streamjobs: Streamjobs) -> None:
    code, _, err = streamjobs("enqueue", "accounts:app", "update", "--broker", "embedded")
    assert code == ExitCode.USAGE
    assert "python -m streamjobs broker" in err


def test_a_broker_that_does_not_answer_is_an_error(streamjobs: Streamjobs, accounts: Any) -> None:
    accounts.app.broker.faults.away = True
    code, _, err = streamjobs("enqueue", "accounts:app", "update", "--json", '{"user_id": 7}')
    assert code == ExitCode.ERROR
    assert "away" in err
