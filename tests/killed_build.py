"""Run as a process of its own by test_kill.py: builds a recipe given as JSON into a folder with some workers."""

import json
import sys
from pathlib import Path

from small_corpus import run_recipe

if __name__ == "__main__":
    result = run_recipe(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps(result.ran))
