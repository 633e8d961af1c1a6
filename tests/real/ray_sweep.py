"""Trains the sweep given as JSON, its stacks spread by Ray or in threads: `ray_sweep.py RUN SETTINGS MIXTURES`."""

import json
import sys
from pathlib import Path

from corpusmill.mixtures.designs import SwarmMixture
from corpusmill.mixtures.proxy.swarm import SwarmSettings, run_swarm

if __name__ == "__main__":
    run, settings, mixtures = sys.argv[1:]
    seen: list[int] = []
    made = [SwarmMixture(*mixture) for mixture in json.loads(mixtures)]
    run_swarm(Path(run), SwarmSettings(**json.loads(settings)), made, lambda done, total: seen.append(done))
    print(seen[-1])
