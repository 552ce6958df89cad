"""Simulated people, their virtual chest straps and the air between; never real data."""
