"""`python -m benchmarks`: every benchmark there is, on a broker in memory."""

import sys

from benchmarks.speedup import main

if __name__ == "__main__":
    sys.exit(main())
