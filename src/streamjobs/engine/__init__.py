"""The core: which record may run now, and what is complete. No Kafka, no threads, no clock.

Read in this order: `ledger` (what is complete), `virtual_partition` (what waits),
`generation` (one assigned partition), `scheduler` (what may start), `owner` (the loop's turn).
"""
