"""The training loop of nanoGPT for GPT-2 124M, written anew from its published settings: the peer of one large model.

GPT-2's architecture (learned positions, LayerNorm, GELU, tied head, no biases), 50,304 tokens, sequences of 1,024 in
micro-batches of 12, torch.compile, bfloat16 autocast, flash attention through scaled_dot_product_attention, AdamW fused
with betas 0.9 and 0.95, gradients clipped to 1.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCAB_SIZE, LENGTH, WIDTH, LAYERS, HEADS = 50_304, 1024, 768, 12, 12
MICRO_BATCH = 12


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.wide = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        B, T, _ = x.shape
        query, key, value = self.qkv(self.norm1(x)).view(B, T, 3 * HEADS, -1).transpose(1, 2).chunk(3, dim=1)
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(B, T, WIDTH))
        result: Tensor = x + self.narrow(functional.gelu(self.wide(self.norm2(x))))
        return result


class GPT2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCAB_SIZE, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(inputs) + self.positions(torch.arange(inputs.shape[1], device=inputs.device))
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


class Loop:
    """The loop: `step` takes rows [micro-batches x 12, T + 1]."""

    def __init__(self, device: str) -> None:
        self.device = device.split(":")[0]
        self.model = GPT2().to(device)
        decayed = [p for p in self.model.parameters() if p.dim() >= 2]
        rest = [p for p in self.model.parameters() if p.dim() < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=6e-4, betas=(0.9, 0.95), fused=True)
        self.compiled = torch.compile(self.model) if self.device == "cuda" else self.model

    def step(self, rows: Tensor) -> None:
        parts = rows.split(MICRO_BATCH)
        for part in parts:
            with torch.autocast(self.device, torch.bfloat16):
                loss = self.compiled(part[:, :-1], part[:, 1:]) / len(parts)
            loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
