"""`python -m benchmarks` is `speedup`, on a broker in memory if it is given none;
`python -m benchmarks failures` says what failing keys cost the others, on a Kafka, and
`python -m benchmarks checkpoint` what a large checkpoint costs those who go on meanwhile;
`python -m benchmarks state` says what state and exactly-once cost;
`python -m benchmarks recovery` says how long a lost disk takes;
`python -m benchmarks pipelines` compares with plain Quix Streams;
`python -m benchmarks compare` does with all peers, side by side, and `report` shows what it found.
"""

import sys

from benchmarks import checkpoint, failures, harness, pipelines, recovery, report, speedup, state

BENCHMARKS = {
    "speedup": speedup.main,
    "failures": failures.main,
    "checkpoint": checkpoint.main,
    "state": state.main,
    "recovery": recovery.main,
    "pipelines": pipelines.main,
    "compare": harness.compare,
    "report": report.main,
}

if __name__ == "__main__":
    name = sys.argv.pop(1) if sys.argv[1:] and sys.argv[1] in BENCHMARKS else "speedup"
    sys.exit(BENCHMARKS[name]())
