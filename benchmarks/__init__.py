"""Measured claims: `python -m benchmarks NAME [--json FILE] [--full]` prints one table."""
