"""What becomes of records whose attempts fail: retries, dead letters, breakers."""
