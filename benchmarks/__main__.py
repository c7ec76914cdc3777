"""`python -m benchmarks` is `speedup`, on a broker in memory if it is given none;
`python -m benchmarks failures` says what failing keys cost the others, on a Kafka, and
`python -m benchmarks checkpoint` what a large checkpoint costs those who go on meanwhile;
`python -m benchmarks pipelines` compares with plain Quix Streams.
"""

import sys

from benchmarks import checkpoint, failures, pipelines, speedup

BENCHMARKS = {
    "speedup": speedup.main,
    "failures": failures.main,
    "checkpoint": checkpoint.main,
    "pipelines": pipelines.main,
}

if __name__ == "__main__":
    name = sys.argv.pop(1) if sys.argv[1:] and sys.argv[1] in BENCHMARKS else "speedup"
    sys.exit(BENCHMARKS[name]())
