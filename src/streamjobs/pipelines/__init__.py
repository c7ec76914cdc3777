"""Pipelines of Quix Streams' operators, with virtual partitions."""

from __future__ import annotations

from streamjobs.pipelines.aggregations import aggregate, count, reduce
from streamjobs.pipelines.parallel import parallel

__all__ = ("aggregate", "count", "parallel", "reduce")
