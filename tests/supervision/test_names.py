"""What the processes of one supervisor are called, and what of theirs has these names."""

from collections.abc import Mapping
from typing import Any

import pytest

from streamjobs import App, Context
from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.broker.ports import Transactions
from streamjobs.exit_codes import ExitCode
from streamjobs.runtime import Runtime
from streamjobs.supervision.names import slot_names


def test_the_instance_and_the_slot_make_the_name() -> None:
    assert slot_names("shop", 3) == ["shop-0", "shop-1", "shop-2"]


def test_another_count_leaves_the_names_of_the_slots_that_stay() -> None:
    assert slot_names("shop", 3)[:2] == slot_names("shop", 2)


def test_two_supervisors_of_an_app_without_a_name_share_none() -> None:
    names = [*slot_names(None, 4), *slot_names(None, 4)]
    assert len(set(names)) == 8


class NotingBroker(MemoryBroker):
    """Notes the names of transactions."""

    def __init__(self, cluster: MemoryCluster) -> None:
        super().__init__(cluster)
        self.names: list[str] = []

    def transactions(self, name: str, timeout: float, extra: Mapping[str, Any]) -> Transactions:
        self.names.append(name)
        return super().transactions(name, timeout, extra)


@pytest.mark.parametrize("instance,name", [(None, "shop-host-1"), ("a-1", "shop-a-1")])
def test_transactions_have_the_name_of_the_instance_or_else_of_the_slot(
    tmp_path: Any, instance: str | None, name: str
) -> None:
    broker = NotingBroker(MemoryCluster({"orders": 1}))
    app = App("shop", broker=broker, instance=instance, state_dir=str(tmp_path))

    @app.stream("orders", state=True)
    def count(order: Any, ctx: Context) -> None: ...

    assert Runtime(app, slot="host-1").run(until_idle=True) is ExitCode.OK
    assert set(broker.names) == {name}
