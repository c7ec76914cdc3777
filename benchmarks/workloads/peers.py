"""The peers that workloads choose from."""

from typing import Final

from benchmarks.environments import Jars, Packages
from benchmarks.model import Peer

STREAMJOBS: Final = Peer("streamjobs", "streamjobs")
BARE: Final = Peer("bare confluent-kafka loop", "bare")
QUIX: Final = Peer("Quix Streams", "quix")
THREADS: Final = Peer("hand-written threads", "threads")
CHAINS: Final = Peer("hand-written asyncio", "chains")
POOL: Final = Peer("multiprocessing.Pool", "pool")

_PYTHON: Final = Packages(
    "python",
    ("aiokafka==0.14.0", "faststream[confluent]==0.7.8", "sentry-arroyo==2.48.0", "orjson"),
)
AIOKAFKA: Final = Peer("aiokafka", "aiokafka", _PYTHON)
FASTSTREAM: Final = Peer("FastStream", "faststream", _PYTHON)
ARROYO: Final = Peer("sentry-arroyo", "arroyo", _PYTHON)
PYRALLEL: Final = Peer(
    "pyrallel-consumer",
    "pyrallel",
    Packages("pyrallel", ("pyrallel-consumer==1.0.0",), python="python3.12"),
)
PARALLEL_CONSUMER: Final = Peer(
    "Confluent parallel-consumer",
    "a JVM program",
    Jars(
        "parallel-consumer",
        (
            "io.confluent.parallelconsumer:parallel-consumer-core:0.5.3.3",
            "com.fasterxml.jackson.core:jackson-databind:2.21.2",
            "org.slf4j:slf4j-nop:2.0.13",
        ),
        "ParallelConsumerPeer",
    ),
)
KAFKA_STREAMS: Final = Peer(
    "Kafka Streams",
    "a JVM program",
    Jars(
        "kafka-streams",
        ("org.apache.kafka:kafka-streams:4.3.1", "org.slf4j:slf4j-nop:1.7.36"),
        "KafkaStreamsPeer",
    ),
)
