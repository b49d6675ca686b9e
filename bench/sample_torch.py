#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer of bench/sample: completions with a KV cache in PyTorch, eager, fp32, prefill included.

Usage: sample_torch.py NAME B PROMPT NEW ROUNDS   (NAME: s128, s256v8k, s256, g124)
The caches are allocated once per call and written in place; temperature 1, torch.multinomial; token
0 ends a completion (the batch runs on until all have ended). Prints one line of JSON. Run it through
bench/run, which sets the tuned environment.
"""
import json
import math
import sys
import time

import torch
import torch.nn.functional as F

SHAPES = {  # layers, heads, channels, vocabulary
    "s128": (4, 4, 128, 8192),
    "s256v8k": (4, 8, 256, 8192),
    "s256": (4, 8, 256, 50257),
    "g124": (12, 12, 768, 50257),
}


class Model:
    def __init__(self, layers, heads, c, vocabulary, ctx):
        self.layers, self.heads, self.c = layers, heads, c
        self.wte, self.wpe = torch.randn(vocabulary, c) * 0.02, torch.randn(ctx, c) * 0.02
        self.blocks = [{
            "ln": torch.ones(c), "zero": torch.zeros(c),
            "attn": torch.randn(3 * c, c) * 0.02, "attn_b": torch.zeros(3 * c),
            "proj": torch.randn(c, c) * 0.02, "proj_b": torch.zeros(c),
            "fc": torch.randn(4 * c, c) * 0.02, "fc_b": torch.zeros(4 * c),
            "out": torch.randn(c, 4 * c) * 0.02, "out_b": torch.zeros(c),
        } for _ in range(layers)]

    def caches(self, B, n):
        shape = (B, self.heads, n, self.c // self.heads)
        return [(torch.empty(shape), torch.empty(shape)) for _ in range(self.layers)]

    def logits(self, tokens, at, caches):
        """Of the last position; tokens [B,T] stand at positions at..at+T-1."""
        B, T = tokens.shape
        D = self.c // self.heads
        x = self.wte[tokens] + self.wpe[at:at + T]
        hidden = torch.ones(T, at + T, dtype=torch.bool).triu(at + 1) if T > 1 else None
        for block, (keys, values) in zip(self.blocks, caches):
            n = F.layer_norm(x, (self.c,), block["ln"], block["zero"])
            qkv = F.linear(n, block["attn"], block["attn_b"])
            q, k, v = (t.view(B, T, self.heads, D).transpose(1, 2) for t in qkv.split(self.c, 2))
            keys[:, :, at:at + T], values[:, :, at:at + T] = k, v
            scores = q @ keys[:, :, :at + T].transpose(-2, -1) / math.sqrt(D)
            if hidden is not None:
                scores = scores.masked_fill(hidden, float("-inf"))
            y = F.softmax(scores, dim=-1) @ values[:, :, :at + T]
            x = x + F.linear(y.transpose(1, 2).reshape(B, T, self.c), block["proj"], block["proj_b"])
            n = F.layer_norm(x, (self.c,), block["ln"], block["zero"])
            x = x + F.linear(F.gelu(F.linear(n, block["fc"], block["fc_b"])),
                             block["out"], block["out_b"])
        last = self.blocks[-1]
        return F.layer_norm(x[:, -1], (self.c,), last["ln"], last["zero"]) @ self.wte.T


def draw(model, prompts, new):
    """Number of tokens drawn until each completion's end."""
    B, T = prompts.shape
    caches = model.caches(B, T + new)
    alive = torch.ones(B, dtype=torch.bool)
    drawn, tokens, at = 0, prompts, 0
    for _ in range(new):
        logprob = F.log_softmax(model.logits(tokens, at, caches), dim=-1)
        at += tokens.shape[1]
        tokens = torch.multinomial(logprob.exp(), 1)
        logprob.gather(1, tokens)  # rollouts keep it
        drawn += int(alive.sum())
        alive &= tokens[:, 0] != 0
        if not alive.any():
            break
    return drawn


def main():
    name, B, prompt, new, rounds = sys.argv[1], *map(int, sys.argv[2:6])
    layers, heads, c, vocabulary = SHAPES[name]
    torch.manual_seed(1)
    torch.set_num_threads(2)
    model = Model(layers, heads, c, vocabulary, prompt + new)
    prompts = torch.randint(1, vocabulary, (B, prompt))
    speed = []
    with torch.inference_mode():
        for _ in range(rounds + 1):
            start = time.perf_counter()
            drawn = draw(model, prompts, new)
            speed.append(drawn / (time.perf_counter() - start))
    print(json.dumps({"who": f"torch {torch.__version__}", "shape": name, "B": B, "prompt": prompt,
                      "new": new, "tokens_per_s": sorted(speed[1:])[rounds // 2]}))


main()
