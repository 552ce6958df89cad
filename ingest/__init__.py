"""Wearables and recordings in, samples out: decoders, beat times, collector, spool, virtual wearables."""
