"""Builds the small recipe given as JSON through Slurm or Ray: `engine_build.py KIND SETTINGS RECIPE RUN`."""

import json
import sys
from pathlib import Path

from corpusmill.pipeline.build import build, plan_phases
from corpusmill.pipeline.executors import ExecutorEngine
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.stages.names import StageTable, token_phases

if __name__ == "__main__":
    kind, settings, recipe_path, run = sys.argv[1:]
    recipe = Recipe.build(json.loads(Path(recipe_path).read_text()), StageTable())
    engine = ExecutorEngine(kind, json.loads(settings), timeout_s=600)
    done = build(recipe, "{}", plan_phases(recipe, token_phases), RunFolder(run), engine)
    print(json.dumps(done.ran))
