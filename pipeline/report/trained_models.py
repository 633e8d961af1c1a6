"""The single models that were trained on plans of the run: their results and loss curves, and the part of the page."""

from collections.abc import Mapping
from html import escape
from typing import Any

from corpusmill.pipeline.report.charts import Axis, legend, path, plane, svg
from corpusmill.pipeline.run_folder import RunFolder

SIZE = (860.0, 260.0)


def trained_models(run: RunFolder) -> dict[str, dict[str, Any]]:
    """{name: {result.json, curve: [[tokens, bits per token]]}} of every model trained to its end."""
    names = sorted({name.split("/")[1] for name in run.names("trains") if name.endswith("/result.json")})
    models = {}
    for name in names:
        points = run.read_table(f"trains/{name}/curve.parquet").to_pylist()
        curve = [[point["tokens"], point["bits_per_token"]] for point in points if point["bits_per_token"] is not None]
        models[name] = {**run.read_json(f"trains/{name}/result.json"), "curve": curve}
    return models


def trained_section(models: Mapping[str, Mapping[str, Any]]) -> str:
    """HTML: what each was and lost, and the curves in one plane."""
    if not models:
        return ""
    rows = "".join(_row(name, model) for name, model in models.items())
    names = ("model", "size", "parameters", "tokens", "tokens/s", "MFU", "bits per byte of held-out text")
    heads = "".join(f"<th>{name}</th>" for name in names)
    table = f"<div class='wide'><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    note = "<p class='note'>MFU: of a bare matrix product, measured on the same device. Curves: bits per token.</p>"
    return table + note + _curves({name: model["curve"] for name, model in models.items()})


def _row(name: str, model: Mapping[str, Any]) -> str:
    bits = ", ".join(f"{domain} {value:.4f}" for domain, value in model["bits_per_byte"].items())
    numbers = (f"{model['num_parameters']:,}", f"{model['tokens']:,}", f"{model['tokens_per_s']:,.0f}")
    cells = (name, model["size"], *numbers, f"{model['mfu']:.1%}", bits)
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _curves(curves: Mapping[str, list[list[float]]]) -> str:
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    low, high = min(point[1] for point in points), max(point[1] for point in points)
    margin = (high - low) * 0.05 or 0.05
    most = max(point[0] for point in points)
    x, y, grid = plane((0.0, most), (low - margin, high + margin), ("tokens", "bits per token"), SIZE)
    lines = "".join(_line(name, curve, x, y, place) for place, (name, curve) in enumerate(curves.items()))
    return legend(list(curves)) + svg(*SIZE, grid + lines, "loss curves of trained models")


def _line(name: str, curve: list[list[float]], x: Axis, y: Axis, place: int) -> str:
    return path([(x.at(tokens), y.at(bits)) for tokens, bits in curve], f"style='stroke:var(--c{place % 8})'", name)
