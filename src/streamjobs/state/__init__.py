"""What handlers remember per ordering key: stores, their changelogs, and the view of one attempt.

Names and bytes are those of Quix Streams, so that a `StreamingDataFrame` of the same app finds
what `ctx.state` wrote, and the other way round.
"""
