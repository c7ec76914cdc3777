"""Jobs as records: arguments of any type come back, and the partition is the one Java picks."""

import dataclasses
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, NamedTuple
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from streamjobs.app import App
from streamjobs.broker.memory import MemoryBroker, MemoryCluster
from streamjobs.partitioning import partition_for
from streamjobs.record import Record
from streamjobs.wire import Signature, open_envelope
