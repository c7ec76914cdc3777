"""Stores in memory and in RocksDB, behind one fixture: what is promised holds for both."""

from pathlib import Path

import pytest

from streamjobs.state.memory import MemoryStores
from streamjobs.state.rocks import RocksStores
from streamjobs.state.store import Stores


@pytest.fixture(params=["memory", "rocks"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return MemoryStores("app") if request.param == "memory" else RocksStores(tmp_path, "app")


@pytest.fixture
def rocks(tmp_path: Path) -> RocksStores:
    return RocksStores(tmp_path, "app")
