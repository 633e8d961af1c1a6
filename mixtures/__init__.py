"""Chooses how much of what, and feeds it to a trainer."""
