#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer of bench/train: the same GPT-2 training step in PyTorch.

On a CPU eager and fp32: run it through bench/run, which sets the tuned environment (an OpenBLAS that
knows this CPU, AVX-512 kernels, malloc thresholds) and runs both sides in turn. With --cuda as nanoGPT
does it: fp32 weights under autocast to bf16, torch.compile, scaled_dot_product_attention, fused AdamW,
a vocabulary padded to a multiple of 64, micro-batches of at most 32768 positions. TF32 is off.
Prints one line of JSON.
"""
import json
import sys

sys.dont_write_bytecode = True
import gpt_torch as gpt  # noqa: E402
import torch  # noqa: E402

MICRO = 32768


def main():
    asked = gpt.arguments(__doc__, ["B", "T", "steps"])
    device = gpt.start(asked.cuda)
    model = gpt.GPT(asked.name, asked.T, device)
    loss_of = torch.compile(model) if asked.compiled else model
    fused = {"fused": True} if asked.cuda else {}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, **fused)
    tokens = torch.randint(0, model.vocabulary, (asked.B, asked.T + 1), device=device)
    parts = tokens.split(max(1, MICRO // asked.T)) if asked.cuda else [tokens]
    warm = 2 if asked.cuda else 1  # the first steps compile and grow
    seconds = []
    for _ in range(warm + asked.steps):
        start = gpt.now(device)
        loss = 0
        for part in parts:
            with gpt.mixed(device):
                share = loss_of(part[:, :-1], part[:, 1:]) * (len(part) / asked.B)
            share.backward()
            loss = loss + share.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(gpt.now(device) - start)
    median = gpt.median(seconds[warm:])
    how = ["bf16 autocast", "compile" if asked.compiled else "eager", "SDPA", "fused AdamW", "TF32 off"]
    print(json.dumps({"who": gpt.who(*(how if asked.cuda else ["fp32", "eager"])), "shape": asked.name, "B": asked.B,
                      "T": asked.T, "tokens_per_s": asked.B * asked.T / median, "step_ms": 1e3 * median,
                      "loss": loss.item()}))


main()
