"""Settings: what an installation may change, and where everything it keeps lives."""
