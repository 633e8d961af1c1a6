"""Many small models trained as one stack, against the same models one after another.

On the CPU (one thread): 16 models of V512 d64 L2, 256 tokens a model and step. With a GPU: 64 models of V4096 d256 L2
T512, 1,024 and 8,192 tokens a model and step. The peer is an ordinary eager torch model of the same shape with torch's
own AdamW and cross-entropy, in this process, so without the start of a process for each model, which would favour us.
Our own single model stands beside it: what of the ratio is stacking, and what is the trainer. Data is random tokens,
made before the clock starts; every repetition runs all sides in turn.

    python benchmarks/swarm.py --quick --json
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from corpusmill.mixtures.proxy.stacked_training import Replica, StackedTraining, Training
from corpusmill.mixtures.proxy.transformer import Shape, rotary_angles, rotate

CPU_SHAPE = Shape(vocab_size=512, width=64, num_layers=2, num_heads=4, ff_width=176)
GPU_SHAPE = Shape(vocab_size=4096, width=256, num_layers=2, num_heads=4, ff_width=512)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="*", type=Path, default=[], help="not used: training reads random tokens")
    parser.add_argument("--quick", action="store_true", help="3 repetitions of few steps")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--models", type=int, help="in a stack [16 on the CPU, 64 on a GPU]")
    options = parser.parse_args()
    torch.set_num_threads(1)
    repetitions = 3 if options.quick else 7
    if torch.cuda.is_available():
        settings = [(GPU_SHAPE, 512, tokens, options.models or 64) for tokens in (1024, 8192)]
    else:
        settings = [(CPU_SHAPE, 64, 256, options.models or 16)]
    results = [row for each in settings for row in compare(*each, repetitions, 4 if options.quick else 20)]
    for row in results:
        print(f"{row['name']}: {row['ours']:,.0f} {row['unit']}, {row['ratio']:.2f} x {row['peer']}")
    if options.json:
        print(json.dumps({"results": results}))


def compare(shape: Shape, length: int, tokens: int, models: int, repetitions: int, steps: int) -> list[dict[str, Any]]:
    """Tokens a second of the stack, of our model alone and of the peer, at `tokens` a model and step."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = np.random.default_rng(0)
    rows = generator.integers(0, shape.vocab_size, (models, tokens // length, length + 1))
    data = torch.from_numpy(rows).to(device)
    stack, single = (ours(shape, length, tokens, device, count) for count in (models, 1))
    peer = Eager(shape, length).to(device)
    optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-3, fused=True)

    def train_stack() -> None:
        stack.train_step(data)

    def train_singles() -> None:
        for model in range(models):
            single.train_step(data[model : model + 1])

    def train_peers() -> None:
        for model in range(models):
            peer_step(peer, optimizer, data[model])

    sides: dict[str, Callable[[], None]] = {"stack": train_stack, "single": train_singles, "peer": train_peers}
    for step in sides.values():
        step()  # compilation, graphs, caches
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repetitions):
        for side, step in sides.items():
            seconds = clock(step, steps, device)
            rates[side].append(models * tokens * steps / seconds)
    eager = f"torch=={torch.__version__} eager, one after another"
    alone = "our own single model, one after another"
    where = f"{device} V{shape.vocab_size} d{shape.width} L{shape.num_layers}, {models} models, {tokens} tokens each"
    print(f"{where}: {shape.flops_per_token(length) * statistics.median(rates['stack']) / 1e9:,.0f} GFLOP/s stacked")
    return [
        result("stacked proxies", rates["stack"], eager, rates["peer"], where),
        result("stacked proxies against own single", rates["stack"], alone, rates["single"], where),
        result("single proxy", rates["single"], eager, rates["peer"], where),
    ]


def ours(shape: Shape, length: int, tokens: int, device: str, count: int) -> StackedTraining:
    training = Training(
        shape=shape,
        num_steps=1 << 20,
        sequence_length=length,
        num_sequences=tokens // length,
        device=device,
        autocast=device == "cuda",
        cuda_graph=device == "cuda",
    )
    return StackedTraining(training, [Replica(seed=seed, learning_rate=1e-3) for seed in range(count)])


def clock(step: Callable[[], None], steps: int, device: str) -> float:
    """Seconds of `steps` steps; on the CPU those of this process, which other processes do not lengthen."""
    if device == "cpu":
        started = time.process_time()
        for _ in range(steps):
            step()
        return time.process_time() - started
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def result(name: str, mine: list[float], peer: str, theirs: list[float], where: str) -> dict[str, Any]:
    middle, other = statistics.median(mine), statistics.median(theirs)
    return {
        "name": name,
        "unit": "tokens/s",
        "ours": middle,
        "peer": peer,
        "theirs": other,
        "ratio": middle / other,
        "spread": (max(mine) - min(mine)) / middle,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "where": where,
    }


class Eager(nn.Module):
    """The same model as anyone writes it: one replica, nn.Linear, torch's RMSNorm and attention."""

    def __init__(self, shape: Shape, length: int) -> None:
        super().__init__()
        self.shape = shape
        width, inner = shape.width, shape.num_heads * shape.head_width
        self.embedding = nn.Embedding(shape.vocab_size, width)
        nn.init.normal_(self.embedding.weight, std=0.05)
        self.bias = nn.Parameter(torch.zeros(shape.vocab_size))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * inner, bias=False) for _ in range(shape.num_layers))
        self.out = nn.ModuleList(nn.Linear(inner, width, bias=False) for _ in range(shape.num_layers))
        self.gate_up = nn.ModuleList(nn.Linear(width, 2 * shape.ff_width, bias=False) for _ in range(shape.num_layers))
        self.down = nn.ModuleList(nn.Linear(shape.ff_width, width, bias=False) for _ in range(shape.num_layers))
        cos, sin = rotary_angles(length, shape.head_width, self.bias.dtype, self.bias.device)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, tokens: Tensor) -> Tensor:
        def norm(x: Tensor) -> Tensor:
            return functional.rms_norm(x, (x.shape[-1],), eps=1e-6)

        cos, sin = self.get_buffer("cos"), self.get_buffer("sin")
        (B, T), H = tokens.shape, self.shape.num_heads
        x = norm(self.embedding(tokens))
        for qkv, out, gate_up, down in zip(self.qkv, self.out, self.gate_up, self.down, strict=True):
            query, key, value = qkv(norm(x)).view(B, T, 3 * H, -1).transpose(1, 2).chunk(3, dim=1)
            query, key = rotate(norm(query), cos, sin), rotate(norm(key), cos, sin)
            attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + out(attended.transpose(1, 2).flatten(2))
            gate, up = gate_up(norm(x)).chunk(2, dim=-1)
            x = x + down(functional.silu(gate) * up)
        return functional.linear(norm(x), self.embedding.weight, self.bias)


def peer_step(model: nn.Module, optimizer: torch.optim.Optimizer, rows_BT: Tensor) -> None:
    with torch.autocast(rows_BT.device.type, torch.bfloat16, enabled=rows_BT.is_cuda):
        logits = model(rows_BT[:, :-1])
    loss = functional.cross_entropy(logits.float().flatten(0, 1), rows_BT[:, 1:].flatten())
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


if __name__ == "__main__":
    main()
