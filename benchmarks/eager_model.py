"""A proxy of the same shape as an ordinary eager torch model with torch's own AdamW: the peer of a stack."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from corpusmill.mixtures.proxy.transformer import Shape, rotary_angles, rotate


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
