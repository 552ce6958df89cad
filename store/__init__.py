"""Samples, people and flags at rest, and the types, words and errors every other room shares."""
