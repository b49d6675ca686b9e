#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer of bench/train: the same GPT-2 training step in PyTorch, eager, fp32.

Usage: train_torch.py NAME B T STEPS   (NAME: s128, s256v8k, s256, g124)
Prints one line of JSON. Run it through bench/run, which sets the tuned environment (an OpenBLAS
that knows this CPU, AVX-512 kernels, malloc thresholds) and runs both sides in turn.
"""
import json
import math
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

SHAPES = {  # layers, heads, channels, vocabulary
    "s128": (4, 4, 128, 8192),
    "s256v8k": (4, 8, 256, 8192),
    "s256": (4, 8, 256, 50257),
    "g124": (12, 12, 768, 50257),
}


class Block(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.c_attn, self.c_proj = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.c_fc, self.c_out = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

    def forward(self, x, mask):
        B, T, C = x.shape
        q, k, v = self.c_attn(self.ln_1(x)).split(C, dim=2)
        q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in (q, k, v))
        scores = q @ k.transpose(-2, -1) / math.sqrt(C // self.heads)
        y = F.softmax(scores.masked_fill(mask, float("-inf")), dim=-1) @ v
        x = x + self.c_proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x))))


class Model(nn.Module):
    def __init__(self, layers, heads, c, vocabulary, ctx):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, c), nn.Embedding(ctx, c)
        self.blocks = nn.ModuleList(Block(c, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(c)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)
        self.register_buffer("mask", torch.ones(ctx, ctx, dtype=torch.bool).triu(1))

    def forward(self, tokens, targets):
        T = tokens.shape[1]
        x = self.wte(tokens) + self.wpe(torch.arange(T))
        for block in self.blocks:
            x = block(x, self.mask[:T, :T])
        logits = self.ln_f(x) @ self.wte.weight.T
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def main():
    name, B, T, steps = sys.argv[1], *map(int, sys.argv[2:5])
    layers, heads, c, vocabulary = SHAPES[name]
    torch.manual_seed(1)
    torch.set_num_threads(2)
    model = Model(layers, heads, c, vocabulary, T)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
    tokens = torch.randint(0, vocabulary, (B, T + 1))
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        loss = model(tokens[:, :-1], tokens[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    median = sorted(seconds[1:])[len(seconds[1:]) // 2]
    print(json.dumps({"who": f"torch {torch.__version__}", "shape": name, "B": B, "T": T,
                      "tokens_per_s": B * T / median, "loss": loss.item()}))


main()
