"""Samples to markers: NN intervals, HRV windows and nights, the nightly job and the research export."""
