"""Kafka through Quix Streams' low-level classes. Importing this package is cheap: only `client`
imports quixstreams (0.6 s), and only what makes a client imports that.
"""
