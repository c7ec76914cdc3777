"""Updates of user accounts: each user's in order, different users' at the same time.

python -m examples.accounts                       enqueue some, work on them, show the result
python -m streamjobs run examples.accounts:app    work on those of a Kafka
"""

from streamjobs import App, VirtualPartitions

app = App("accounts")
users: dict[int, dict[str, str]] = {}  # where a real job would have a database


@app.job(
    topic="user-updates",
    partitioner=lambda job: job.arguments["user_id"],
    virtual_partitions=VirtualPartitions(64, distribution="balanced"),
)
def update_user(user_id: int, attributes: dict[str, str]) -> None:
    users.setdefault(user_id, {}).update(attributes)


def main() -> None:
    """Enqueue and work, on a broker inside this process."""
    app.override(broker="embedded")
    update_user.enqueue(7, {"name": "Ada", "city": "London"}).wait()
    update_user.enqueue_many((user, {"name": f"user {user}"}) for user in range(100, 200)).wait()
    update_user.enqueue(7, {"city": "Paris"}).wait()
    app.run(until_idle=True)
    app.close()
    print(f"{len(users)} users; user 7 is {users[7]}")


if __name__ == "__main__":
    main()
