"""The command line: one file a command, and nothing depends on it."""
