"""The registry: people, sensors, users, flags and the audit log; the only place where identity lives."""
