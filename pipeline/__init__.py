"""Moves documents through phases of work units; knows no particular stage."""

import os

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # read when pyarrow is imported; see allocators.py
