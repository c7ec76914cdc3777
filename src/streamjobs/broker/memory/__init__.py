"""A Kafka in memory: for tests, and for simulations in one thread with several processes.

One `MemoryCluster` is what all share; one `MemoryBroker` is one process's way to reach it.
`Faults`, and `expire`, `kill`, `bounce` and `rebalance` of the cluster make things go wrong.
"""

from streamjobs.broker.memory.broker import MemoryBroker
from streamjobs.broker.memory.cluster import MemoryCluster
from streamjobs.broker.memory.consumer import MemoryConsumer
from streamjobs.broker.memory.faults import Ending, Fate, Faults
from streamjobs.broker.memory.log import Log
from streamjobs.broker.memory.producer import MemoryProducer
from streamjobs.broker.memory.reader import MemoryReader
from streamjobs.broker.memory.transactions import MemoryTransactions

__all__ = (
    "Ending",
    "Fate",
    "Faults",
    "Log",
    "MemoryBroker",
    "MemoryCluster",
    "MemoryConsumer",
    "MemoryProducer",
    "MemoryReader",
    "MemoryTransactions",
)
