"""Peers: one small program each, which a process of its own runs.

It gets a `Task` as JSON (topic, group, what the handler does), handles the records of the topic,
and prints one line of JSON: records, seconds, what was out of order, lost or handled twice.
"""
