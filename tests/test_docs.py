"""What the documentation says is true: its examples run, its links lead somewhere, its tables
match the code.

All ```python blocks of a page run, one after another, as one program on a broker in memory; a
block of ```output behind one is what that one prints. Left out are blocks behind the comments
`<!-- not run -->` and `<!-- needs Kafka -->`; the latter run on a real Kafka.
"""

import contextlib
import dataclasses
import datetime
import decimal
import inspect
import io
import pathlib
import random
import re
import typing
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import pytest
from structlog.testing import capture_logs

import streamjobs.app
from streamjobs import App, Breaker, Retry, headers
from streamjobs.broker.memory import MemoryBroker
from streamjobs.cli.main import cli
from streamjobs.engine import completion_map
from streamjobs.engine.notes import Attempts, write_notes
from streamjobs.exit_codes import ExitCode
from streamjobs.partitioning import murmur2, partition_for
from streamjobs.record import Record
from streamjobs.settings import PREFIX, Settings, resolve
from streamjobs.wire import Signature, open_envelope

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE: Final = re.compile(
    r"^(?:<!-- (?P<mark>[\w ]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)


class Block(NamedTuple):
    language: str
    text: str
    mark: str | None


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    return [Block(each["language"], each["text"], each["mark"]) for each in FENCE.finditer(text)]


def section(page: str, title: str) -> str:
    """The text under a heading."""
    return text_of(page).partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(page: str, title: str = "") -> list[list[str]]:
    """The cells of all tables of a page, or of one of its sections."""
    text = section(page, title) if title else text_of(page)
    return [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def code(cell: str) -> str | None:
    """What a cell shows as code, if that is all it has."""
    found = re.fullmatch(r"`([^`]+)`", cell)
    return found[1] if found else None


# Examples.


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings from this machine, and a broker in memory for every app."""
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(streamjobs.app, "connect", lambda _settings: MemoryBroker())


@contextlib.contextmanager
def program() -> Iterator[dict[str, Any]]:
    """The names of a program; its apps are closed at the end."""
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        with capture_logs():
            yield names
    finally:
        for value in names.values():
            if isinstance(value, App):
                value.close()


def run(block: Block, names: dict[str, Any]) -> str:
    """What it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, "<example>", "exec"), names)
    return printed.getvalue()


def with_python(page: Path) -> bool:
    return any(block.language == "python" for block in blocks(page.read_text(encoding="utf-8")))


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("page", list(filter(with_python, PAGES)), ids=name_of)
def test_the_examples_of_a_page_run_and_print_what_it_says(page: Path) -> None:
    shown = blocks(page.read_text(encoding="utf-8"))
    with program() as names:
        for block, following in zip(shown, [*shown[1:], Block("", "", None)], strict=True):
            if block.language == "python" and block.mark is None:
                printed = run(block, names)
                if following.language == "output":
                    assert printed == following.text


def test_marks_are_known() -> None:
    used = {block.mark for page in PAGES for block in blocks(page.read_text(encoding="utf-8"))}

    assert used <= {None, "not run", "needs Kafka"}


def test_the_producer_without_streamjobs_reaches_the_job(kafka: str, topic_name: str) -> None:
    [block] = [each for each in blocks(text_of("docs/wire-format.md")) if each.mark]
    app, calls = App(topic_name, broker=kafka, partitions=3), []

    @app.job(topic=topic_name, key="user_id")
    def update_user(user_id: int, attributes: dict[str, str]) -> None:
        calls.append((user_id, attributes, streamjobs.current_context().record.partition))

    app.publisher.topics.ensure([topic_name])
    text = block.text.replace("localhost:9092", kafka).replace("user-updates", topic_name)
    with capture_logs():
        run(block._replace(text=text), {})
        app.run(until_idle=True)
        app.close()

    assert calls == [(7, {"name": "Ada"}, partition_for(b"7", 3))]


# Links.


def anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of headings."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if "://" not in target:
                yield page, target


@pytest.mark.parametrize("page,target", list(links()), ids=str)
def test_local_links_lead_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page

    assert file.exists()
    assert not anchor or anchor in anchors(file.read_text(encoding="utf-8"))


def test_the_code_names_pages_that_are_there() -> None:
    named = {
        name
        for source in (ROOT / "src").rglob("*.py")
        for name in re.findall(r"docs/[\w.-]+\.md", source.read_text(encoding="utf-8"))
    }

    assert {name for name in named if not (ROOT / name).exists()} == set()


# Settings, commands, codes.


def default_of(name: str) -> str:
    return str(Settings.model_fields[name].get_default(call_default_factory=True))


def test_every_setting_is_in_the_table_with_its_variable_and_default() -> None:
    described = [tuple(map(code, row[:3])) for row in rows("docs/settings.md")]
    expected = [(name, PREFIX + name.upper(), default_of(name)) for name in Settings.model_fields]

    assert [row for row in described if row[0] in Settings.model_fields] == expected


def test_every_setting_is_an_argument_of_app() -> None:
    assert set(Settings.model_fields) <= set(inspect.signature(App).parameters)


def test_the_file_of_settings_shown_is_valid(tmp_path: Path) -> None:
    [block] = [each for each in blocks(text_of("docs/settings.md")) if each.language == "toml"]
    (tmp_path / "pyproject.toml").write_text(block.text)

    settings = resolve({}, {}, tmp_path).settings

    assert settings.shutdown_timeout == 60
    assert settings.connection["sasl_mechanism"] == "SCRAM-SHA-512"


def test_every_command_is_in_the_readme() -> None:
    commands = {each.callback.__name__ for each in cli.registered_commands if each.callback}
    commands |= {
        each.typer_instance.info.name for each in cli.registered_groups if each.typer_instance
    }
    shown = set(re.findall(r"^\| `python -m streamjobs (\w+)", text_of("README.md"), re.M))

    assert shown == commands


def test_every_exit_code_is_described() -> None:
    described = [row[0] for row in rows("docs/running.md") if row[0].isdigit()]

    assert described == [str(each.value) for each in ExitCode]


def test_the_messages_shown_are_those_that_are_logged() -> None:
    sources = "".join(
        (ROOT / "src/streamjobs" / name).read_text(encoding="utf-8")
        for name in (
            "logs.py",
            "runtime.py",
            "publisher.py",
            "state/keeper.py",
            "state/progress.py",
            "state/retiring.py",
        )
    )
    table = [row[0] for row in rows("docs/running.md", "Logs")[2:]]
    messages = [each.removesuffix("...").strip() for each in re.findall("`(.+?)`", str(table))]

    assert len(messages) > 10
    assert [each for each in messages if f'"{each}' not in sources] == []


# The wire format.


def test_the_job_record_shown_is_accepted() -> None:
    def update_user(user_id: int, attributes: dict[str, str]) -> None: ...

    [block] = [each for each in blocks(text_of("docs/wire-format.md")) if each.language == "json"]
    envelope = open_envelope(Record("user-updates", 0, 0, value=block.text.encode()))
    arguments = Signature("update_user", update_user).decode(envelope.args, envelope.kwargs)

    assert envelope.job == "update_user"
    assert envelope.id == orjson.loads(block.text)["id"]
    assert arguments == {"user_id": 7, "attributes": {"name": "Ada"}}


def test_the_job_record_shown_has_what_enqueue_writes() -> None:
    def update_user(user_id: int, attributes: dict[str, str]) -> None: ...

    [block] = [each for each in blocks(text_of("docs/wire-format.md")) if each.language == "json"]
    signature = Signature("update_user", update_user)
    shown = orjson.loads(block.text)
    written = orjson.loads(signature.encode(shown["id"], signature.bind((), shown["kwargs"])))

    assert list(written) == list(shown)
    assert written | {"enqueued_at": ""} == shown | {"enqueued_at": ""}
    assert datetime.datetime.fromisoformat(shown["enqueued_at"]).utcoffset() is not None


def test_every_header_is_described() -> None:
    pages = ("docs/wire-format.md", "docs/errors.md")
    described = {code(row[0]) for page in pages for row in rows(page)} | {headers.DEAD}

    assert {getattr(headers, name) for name in dir(headers) if name.isupper()} <= described


@pytest.mark.parametrize(
    "title,policy", [("Another attempt: `Retry`", Retry()), ("Too many: `Breaker`", Breaker())]
)
def test_the_defaults_shown_are_those_of_the_code(title: str, policy: Retry | Breaker) -> None:
    shown = {
        name: eval(default, vars(streamjobs))
        for row in rows("docs/errors.md", title)
        for name, default in zip(*[re.findall("`([^`]+)`", cell) for cell in row[:2]], strict=False)
    }

    named = {
        name for row in rows("docs/errors.md", title) for name in re.findall("`(.+?)`", row[0])
    }
    assert named == {field.name for field in dataclasses.fields(policy)}
    for name, default in shown.items():
        assert default in (getattr(policy, name), *_classes(getattr(policy, name)))


def _classes(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else ()


def typed_rows() -> Iterator[list[str]]:
    """Annotation, value and JSON, where the table shows all three as code."""
    for cells in rows("docs/wire-format.md", "Python types"):
        shown = [each for each in map(code, cells) if each]
        if len(shown) == 3:
            yield shown


@pytest.mark.parametrize("annotation,value,json", list(typed_rows()))
def test_a_python_value_becomes_the_json_shown_and_comes_back(
    annotation: str, value: str, json: str
) -> None:
    def job(argument: Any) -> None: ...

    known = vars(typing) | {
        module.__name__: module for module in (datetime, decimal, pathlib, uuid)
    }
    job.__annotations__ = {"argument": eval(annotation, known)}
    argument, signature = eval(value, known), Signature("job", job)

    body = signature.encode("id", signature.bind((argument,), {}))

    assert f'"kwargs":{{"argument":{json}}},' in body.decode()
    assert signature.decode([], orjson.loads(body)["kwargs"]) == {"argument": argument}


def test_the_partitions_of_the_keys_shown_are_right() -> None:
    shown = [
        (str(code(row[0])).encode(), int(row[1]), int(row[2]))
        for row in rows("docs/wire-format.md")
        if len(row) == 3 and row[1].isdigit()
    ]

    assert len(shown) == 3
    for key, number, partition in shown:
        assert (murmur2(key) & 0x7FFFFFFF, partition_for(key, 12)) == (number, partition)


def test_that_many_keys_are_elsewhere_for_librdkafka() -> None:
    keys = [str(number).encode() for number in range(10_000)]
    elsewhere = sum(partition_for(key, 12) != zlib.crc32(key) % 12 for key in keys)

    assert f"{elsewhere / 100:.0f} % of the keys" in text_of("docs/wire-format.md").replace(
        "\n", " "
    )


# The commit's metadata.


def read_by_the_page(frontier: int, metadata: str) -> set[int]:
    """A reader that was written from docs/commit-metadata.md alone."""

    def bits(text: str) -> str:
        assert all(0x3400 <= ord(character) <= 0xB3FF for character in text)
        return "".join(f"{ord(character) - 0x3400:015b}" for character in text)

    if not metadata:
        return set()
    body, check = metadata[:-4], metadata[-4:]
    checksum = zlib.crc32(f"{frontier}|{body}".encode())
    assert body.startswith("sj1|")
    assert body.endswith("|")
    assert (check[0], bits(check[1:])) == ("k", f"{checksum:045b}")
    fields = {field[0]: field[1:] for field in body[4:-1].split("|")}
    if "b" in fields:
        return {frontier + place for place, bit in enumerate(bits(fields["b"])) if bit == "1"}
    complete: set[int] = set()
    width, pairs = ord(fields["r"][0]) - 0x3400, bits(fields["r"][1:])
    at = frontier
    while len(pairs) >= 2 * width:
        gap, length = int(pairs[:width], 2), int(pairs[width : 2 * width], 2)
        if not length:
            break
        complete.update(range(at + gap, at + gap + length))
        at, pairs = at + gap + length, pairs[2 * width :]
    return complete


def test_the_metadata_shown_in_hexadecimal_reads_as_the_page_says() -> None:
    shown = [
        "".join(chr(int(each, 16)) for each in line.split())
        for line in re.findall(r"^0073 .+$", text_of("docs/commit-metadata.md"), re.M)
    ]

    assert [read_by_the_page(1000, metadata) for metadata in shown] == [
        {1002, 1003, 1004, *range(1010, 1210)},
        {1001, 1002, 1005},
    ]


@pytest.mark.parametrize("seed", range(50))
def test_the_code_writes_what_the_page_specifies(seed: int) -> None:
    dice = random.Random(seed)
    frontier, share = dice.randrange(1 << dice.randrange(1, 45)), dice.random()
    done, state = set(), False
    for offset in range(frontier + 1, frontier + dice.randrange(2, 2000)):
        state = state if dice.random() < share else not state
        if state:
            done.add(offset)
    bits = "".join("01"[offset in done] for offset in range(frontier, max(done, default=0) + 1))
    runs = list(completion_map.ones(bits, frontier))

    metadata = completion_map.encode(frontier, runs)

    assert read_by_the_page(frontier, metadata) == done
    span = max(done) + 1 - frontier if done else 0
    as_runs, as_bitset = 1 + -(-2 * len(runs) * span.bit_length() // 15), -(-span // 15)
    assert not done or len(metadata) == 10 + min(as_runs, as_bitset)


@pytest.mark.parametrize("seed", range(20))
def test_the_code_writes_attempts_as_the_page_specifies(seed: int) -> None:
    """Read by what docs/commit-metadata.md says alone."""
    dice = random.Random(seed)
    frontier, now = dice.randrange(1 << 40), 1_790_000_000
    failing = {
        offset: (offset, dice.randint(1, 255), now - dice.randrange(9999), now + dice.randrange(99))
        for offset in (frontier + dice.randrange(50_000) for _ in range(dice.randint(1, 150)))
    }
    fields = write_notes(frontier, [Attempts(*each) for each in failing.values()])

    bits = "".join(f"{ord(character) - 0x3400:015b}" for character in fields["a"])
    base, at, found = int(bits[:32], 2), 32, []
    while len(bits) >= at + 70 and int(bits[at + 22 : at + 30], 2):
        offset, count, before, after = (
            int(bits[at + start : at + stop], 2)
            for start, stop in ((0, 22), (22, 30), (30, 50), (50, 70))
        )
        found.append((frontier + offset, count, base - before, base + after))
        at += 70

    assert len(fields["a"]) <= 511
    assert found == sorted(failing.values())[:109]


def test_a_reader_ignores_fields_it_does_not_know() -> None:
    metadata = completion_map.encode(10, [(12, 1)], {"x": "of a later version"})

    assert read_by_the_page(10, metadata) == {12}
    assert list(completion_map.decode(10, metadata).runs) == [(12, 1)]


def test_the_sizes_shown_are_right() -> None:
    text = text_of("docs/commit-metadata.md").replace("\n", " ")
    one_stuck = completion_map.encode(0, [(1, 10_000)])
    every_other = completion_map.encode(0, [(offset, 1) for offset in range(1, 10_000, 2)])

    assert f"take {len(one_stuck)} characters in all" in text
    assert f"a bitset of {len(every_other)}." in text
    assert f"{completion_map.BITSET_SPAN:,} offsets past the frontier" in text
    assert f"{completion_map.runs_capacity(65_535):,} within 65,535 offsets" in text
    assert f"{completion_map.runs_capacity((1 << 20) - 1):,} within about a million" in text
    assert f"The map takes {completion_map.MAP_CHARACTERS:,} of them" in text
    assert f"{completion_map.METADATA_CHARACTERS:,} remain" in text


def test_the_readme_links_every_page() -> None:
    linked = re.findall(r"\]\((docs/[\w.-]+\.md)\)", text_of("README.md"))

    assert sorted(linked) == [name_of(page) for page in PAGES if page.parent.name == "docs"]
