"""What the sweeps of a run hold: every proxy's ratios and losses, its training curve, the fit, the choice."""

from typing import Any

from corpusmill.pipeline.run_folder import RunFolder

MAX_CURVE_POINTS = 120


def sweeps(run: RunFolder) -> dict[str, dict[str, Any]]:
    """{sweep: {runs, sources, domains, curves: {run: [[tokens, bits per token]]}, fit, choice}}; fit and choice are
    None where they were not made."""
    names = sorted({name.split("/")[1] for name in run.names("sweeps") if name.endswith("/ledger.parquet")})
    return {name: _sweep(run, f"sweeps/{name}") for name in names}


def _sweep(run: RunFolder, folder: str) -> dict[str, Any]:
    rows = run.read_table(f"{folder}/ledger.parquet").to_pylist()
    columns = list(rows[0]) if rows else []
    sources = [name.removeprefix("ratio_") for name in columns if name.startswith("ratio_")]
    domains = [name.removeprefix("bits_per_byte_") for name in columns if name.startswith("bits_per_byte_")]
    return {
        "sources": sources,
        "domains": domains,
        "runs": [
            {
                "run": row["run"],
                "seed": row.get("seed"),
                "tokens": row.get("tokens"),
                "num_parameters": row.get("num_parameters"),
                "ratios": {name: row[f"ratio_{name}"] for name in sources},
                "bits_per_byte": {name: row[f"bits_per_byte_{name}"] for name in domains},
                "unigram": {name: row.get(f"unigram_{name}") for name in domains},
            }
            for row in rows
        ],
        "curves": _curves(run, f"{folder}/curves.parquet"),
        "fit": run.read_json(f"{folder}/fit.json"),
        "choice": run.read_json(f"{folder}/choice.json"),
    }


def _curves(run: RunFolder, path: str) -> dict[str, list[list[float]]]:
    """Training loss by run, thinned to MAX_CURVE_POINTS points."""
    if not run.exists(path):
        return {}
    curves: dict[str, list[list[float]]] = {}
    for point in run.read_table(path, ["run", "tokens", "bits_per_token"]).to_pylist():
        if point["bits_per_token"] is not None:
            curves.setdefault(point["run"], []).append([point["tokens"], point["bits_per_token"]])
    return {name: points[:: -(-len(points) // MAX_CURVE_POINTS)] for name, points in curves.items()}
