"""Moves documents through phases of work units; knows no particular stage."""
