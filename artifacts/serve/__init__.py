"""Open an artifact on a host and answer requests with it."""
