"""Every setting: its name, its type, its default, and where its value came from.

The order is: command line, argument of `App`, variable `STREAMJOBS_<NAME>`, the table
`[tool.streamjobs]` of the nearest pyproject.toml, default.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from streamjobs.errors import SettingError

__all__ = ("PREFIX", "Resolved", "Settings", "resolve")

PREFIX: Final = "STREAMJOBS_"

Seconds = Annotated[float, Field(gt=0)]
Positive = Annotated[int, Field(gt=0)]
Limit = Annotated[int, Field(ge=0)]
Mapped = dict[str, Any]


class Settings(BaseModel):
    """The values an app runs with."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    broker: str = Field(
        "localhost:9092",
        description='bootstrap address, or "embedded" for a Kafka inside this process',
    )
    connection: Mapped = Field(
        default_factory=dict,
        description="SASL and TLS, by librdkafka's names (security_protocol, sasl_username, ...)",
    )
    guarantee: Literal["at-least-once", "exactly-once"] = Field(
        "at-least-once",
        description="what a crash may do to what was emitted: repeat it, never lose it; or neither",
    )
    state_dir: str = Field("state", description="where the stores of state are on this machine")
    state_keep: Annotated[float, Field(ge=0)] = Field(
        7 * 24 * 3600.0,
        description="seconds after which a store is deleted that nobody on this machine has used; "
        "0: never",
    )
    transaction_timeout: Seconds = Field(
        10.0, description="seconds after which the broker aborts a transaction of a dead process"
    )
    commit_interval: Seconds = Field(
        1.0, description="seconds between commits; 0.1 with exactly-once, where it is not set"
    )
    commit_records: Annotated[int, Field(gt=0)] = Field(
        100_000, description="records done after which a commit does not wait for commit_interval"
    )
    shutdown_timeout: Seconds = Field(
        30.0, description="seconds running handlers get after SIGTERM"
    )
    revoke_timeout: Seconds = Field(
        10.0, description="seconds running handlers get when their partition goes away"
    )
    stall_after: Seconds = Field(
        30.0, description="seconds before an attempt that is far slower than usual is reported"
    )
    suspect_after: Annotated[int, Field(ge=0)] = Field(
        3,
        description="processes that have to die in a row before unfinished records run alone, to "
        "find the one that does it; 0: never",
    )
    topics: Literal["create", "require"] = Field(
        "create", description="what to do about missing topics"
    )
    partitions: Positive = Field(1, description="partitions of topics that are created")
    replication: Positive = Field(1, description="replicas of topics that are created")
    group_protocol: Literal["classic", "consumer"] = Field(
        "classic", description='how members join: "consumer" is KIP-848, Kafka 4'
    )
    instance: str | None = Field(
        None, description="a stable name of this process, so that a restart is no rebalance"
    )
    threads: Positive = Field(64, description="handlers at the same time on threads")
    tasks: Positive = Field(1000, description="handlers at the same time on the event loop")
    process_workers: Positive | None = Field(
        None, description="processes for handlers with process=True; one for each CPU if not given"
    )
    process_max_records: Limit = Field(
        0, description="records after which a worker process is replaced; 0 for never"
    )
    process_max_mib: Limit = Field(
        0, description="MiB of memory at which a worker process is replaced; 0 for never"
    )
    window_records: Positive = Field(
        10_000, description="records of one partition held in memory, queued and running"
    )
    window_bytes: Positive = Field(64 * 1024 * 1024, description="their bytes")
    consumer_config: Mapped = Field(
        default_factory=dict, description="handed to librdkafka's consumer as it is"
    )
    producer_config: Mapped = Field(
        default_factory=dict, description="handed to librdkafka's producers as it is"
    )

    @model_validator(mode="before")
    @classmethod
    def _commit_often(cls, values: Any) -> Any:
        """Who reads what is committed waits for it, at every hop."""
        if isinstance(values, dict) and values.get("guarantee") == "exactly-once":
            return {"commit_interval": 0.1} | values
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if self.guarantee == "exactly-once" and self.broker == "embedded":
            raise ValueError(
                "exactly-once needs a broker with transactions, and the embedded one has none "
                "worth the name: it hides no aborted records. Take a real Kafka (make kafka)"
            )
        if self.commit_interval * 3 > self.transaction_timeout:
            raise ValueError(
                f"transaction_timeout={self.transaction_timeout:g} has to be at least three times "
                f"commit_interval={self.commit_interval:g}"
            )
        return self


class Resolved(NamedTuple):
    """The settings, and for each name where its value came from."""

    settings: Settings
    sources: Mapping[str, str]


def resolve(
    arguments: Mapping[str, Any], overrides: Mapping[str, Any], directory: Path | None = None
) -> Resolved:
    """Put the settings together.

    Args:
        arguments: what `App` was given; None means not given.
        overrides: what the command line was given; None means not given.
        directory: where to start looking for pyproject.toml; None for the working directory.

    Raises:
        SettingError: a value is unusable, or a name unknown; says where it came from.
    """
    values: dict[str, Any] = {}
    sources = dict.fromkeys(Settings.model_fields, "default")
    for source, layer in (
        ("pyproject.toml", _from_pyproject(directory or Path.cwd())),
        ("environment", _from_environment()),
        ("App(...)", arguments),
        ("command line", overrides),
    ):
        for name, value in layer.items():
            if value is not None:
                values[name] = value
                sources[name] = source
    try:
        return Resolved(Settings.model_validate(values), sources)
    except ValidationError as error:
        raise SettingError(_explain(error, sources)) from None


def _from_environment() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        text = os.environ.get(PREFIX + name.upper())
        if text is not None:
            found[name] = _parse_json(name, text) if field.annotation == Mapped else text
    return found


def _parse_json(name: str, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SettingError(f"{PREFIX}{name.upper()} has to be a JSON object: {error}") from None


def _from_pyproject(directory: Path) -> dict[str, Any]:
    for folder in (directory, *directory.parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            try:
                content = tomllib.loads(path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
                raise SettingError(f"{path} cannot be read: {error}") from None
            table = content.get("tool", {}).get("streamjobs", {})
            return {name.replace("-", "_"): value for name, value in table.items()}
    return {}


def _explain(error: ValidationError, sources: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors():
        if not problem["loc"]:
            lines.append(problem["msg"].removeprefix("Value error, "))
            continue
        name = str(problem["loc"][0])
        source = sources.get(name, "default")
        if problem["type"] == "extra_forbidden":
            known = ", ".join(Settings.model_fields)
            lines.append(f"there is no setting {name!r} (from {source}); known are {known}")
        else:
            value = _shown(name, problem["input"])
            lines.append(f"setting {name}={value} (from {source}): {problem['msg']}")
    return "; ".join(lines)


def _shown(name: str, value: object) -> str:
    """A wrong value; what may hold a password is not shown."""
    return "..." if Settings.model_fields[name].annotation == Mapped else repr(value)
