"""Calls that a type checker has to accept or to refuse. Only mypy reads this file.

Each `type: ignore` stands where an error has to be: with `warn_unused_ignores` mypy says so when
there is none.
"""

from typing import assert_type

from streamjobs import App, Context, Job, Position, Receipt, Stream

app = App("accounts")


@app.job(topic="user-updates", key="user_id")
def update(user_id: int, attributes: dict[str, str], *, force: bool = False) -> str:
    return ""


@app.job(topic="user-updates")
async def delete(user_id: int) -> None: ...


@app.stream("clicks")
def count(click: dict[str, int], ctx: Context) -> int:
    return 1


# The function stays what it was.
assert_type(update(7, {}), str)
update("7", {})  # type: ignore[arg-type]
count({}, "no context")  # type: ignore[arg-type]


# Jobs and streams can be named in annotations.
a_job: Job[[int], object] = delete
a_stream: Stream[[dict[str, int], Context], int] = count


# `enqueue` takes what the function takes.
assert_type(update.enqueue(7, {"name": "Ada"}), Receipt)
assert_type(update.enqueue(7, attributes={}, force=True).wait(5), Position)
assert_type(delete.enqueue(7), Receipt)
update.enqueue("7", {})  # type: ignore[arg-type]
update.enqueue(7, {"name": 1})  # type: ignore[dict-item]
update.enqueue(7, {}, force="yes")  # type: ignore[arg-type]
update.enqueue(7)  # type: ignore[call-arg]
update.enqueue(7, {}, True)  # type: ignore[call-arg]
update.enqueue(7, {}, colour="red")  # type: ignore[call-arg]
delete.enqueue(user_id=None)  # type: ignore[arg-type]


# So does `arguments`, for many calls.
update.enqueue_many([update.arguments(7, {}), update.arguments(8, {}, force=True)])
update.enqueue_many([update.arguments("7", {})])  # type: ignore[arg-type]
update.enqueue_many([7])  # type: ignore[list-item]


# Receipts are awaited for positions.
async def wait() -> None:
    assert_type(await update.enqueue(7, {}), Position)
    assert_type(await update.enqueue_many([]), list[Position])


# Declarations are checked, too.
app.job(topic="a", partition_key_type="hash")  # type: ignore[arg-type]
app.job(topic="a", partitioner=lambda call: call.arguments["user_id"])
app.job(topic="a", partitioner=lambda call: call.args)  # type: ignore[attr-defined]
App("accounts", topics="maybe")  # type: ignore[arg-type]
