"""Markers to flags: each person's own baseline, detectors, reasons."""
