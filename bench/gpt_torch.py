# SPDX-License-Identifier: Apache-2.0
"""What the peers in PyTorch share: GPT-2 as a module, completions with a KV cache, arguments, timing.

Written for PyTorch 1.13 on a CPU (eager, fp32) and PyTorch >= 2.3 with --cuda.
"""
import argparse
import contextlib
import math
import os
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

SHAPES = {  # layers, heads, channels, vocabulary
    "s32": (2, 2, 32, 512),
    "s128": (4, 4, 128, 8192),
    "s256v8k": (4, 8, 256, 8192),
    "s256": (4, 8, 256, 50257),
    "g124": (12, 12, 768, 50257),
    "g1558": (48, 25, 1600, 50257),
}
END = 0  # the token that ends a completion


# ---- the program --------------------------------------------------------------------------------


def arguments(doc, names, **flags):
    """The shape's name and whole numbers called `names`; flags: what each of them does."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SHAPES)
    for name in names:
        parser.add_argument(name, type=int)
    parser.add_argument("--cuda", action="store_true", help="on the GPU, in bf16, compiled")
    parser.add_argument("--eager", action="store_true", help="... but not compiled")
    for flag, does in flags.items():
        parser.add_argument("--" + flag, action="store_true", help=does)
    out = parser.parse_args()
    out.compiled = out.cuda and not out.eager
    return out


def start(cuda):
    """The device; and its noise is the same each time."""
    torch.manual_seed(1)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    return torch.device("cuda" if cuda else "cpu")


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def now(device):
    wait(device)
    return time.perf_counter()


def median(values):
    return sorted(values)[len(values) // 2]


def who(*words):
    return ", ".join([f"torch {torch.__version__}", *(word for word in words if word)])


def mixed(device):
    """Where products are rounded to bf16 and weights are not."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()


# ---- the network --------------------------------------------------------------------------------


def attend(q, k, v, mask=None, causal=False):
    """mask: True where a key is seen."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return F.softmax(scores, dim=-1) @ v


class Block(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.c_attn, self.c_proj = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.c_fc, self.c_out = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

    def add_cache(self, B, n, dtype):
        c = self.c_proj.in_features
        where = self.c_proj.weight.device
        for name in ("keys", "values"):
            self.register_buffer(name, torch.zeros(B, self.heads, n, c // self.heads, dtype=dtype, device=where),
                                 persistent=False)

    def heads_of(self, x):
        B, T, C = x.shape
        qkv = self.c_attn(self.ln_1(x)).split(C, dim=2)
        return (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in qkv)

    def finish(self, x, y):
        x = x + self.c_proj(y.transpose(1, 2).reshape(x.shape))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x))))

    def forward(self, x, keep=False):
        """Whole sequences; `keep`: they fill the cache."""
        q, k, v = self.heads_of(x)
        if keep:
            self.keys[:, :, :x.shape[1]], self.values[:, :, :x.shape[1]] = k, v
        return self.finish(x, attend(q, k, v, causal=True))

    def decode(self, x, position, mask, n):
        """One more position of each sequence, which sees the first n of the cache; without mask it is the
        last of these in all of them."""
        q, k, v = self.heads_of(x)
        if mask is None:
            self.keys[:, :, n - 1:n], self.values[:, :, n - 1:n] = k, v
        else:
            rows = torch.arange(x.shape[0], device=x.device)
            self.keys[rows, :, position], self.values[rows, :, position] = k[:, :, 0], v[:, :, 0]
        return self.finish(x, attend(q, self.keys[:, :, :n], self.values[:, :, :n], mask))


class GPT(nn.Module):
    def __init__(self, name, ctx, device, scalar=False):
        super().__init__()
        layers, heads, c, self.vocabulary = SHAPES[name]
        # On a GPU a multiple of 64 is faster, and nobody need be slower than he can be.
        rows = -(-self.vocabulary // 64) * 64 if device.type == "cuda" else self.vocabulary
        self.wte, self.wpe = nn.Embedding(rows, c), nn.Embedding(ctx, c)
        self.blocks = nn.ModuleList(Block(c, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(c)
        self.score = nn.Linear(c, 1) if scalar else None
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)
        self.to(device)

    def layers(self, tokens, keep=False):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x, keep)
        return x

    def hidden(self, tokens):
        return self.ln_f(self.layers(tokens))

    def logits(self, h):
        return F.linear(h, self.wte.weight)

    def values(self, tokens):
        return self.score(self.hidden(tokens))[..., 0].float()

    def forward(self, tokens, targets):
        """The mean loss."""
        logits = self.logits(self.hidden(tokens))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))

    def add_cache(self, B, n, dtype):
        for block in self.blocks:
            block.add_cache(B, n, dtype)

    def prompt(self, tokens, lengths):
        """Fills the cache; logits of the last position of each prompt, padded on the right."""
        x = self.layers(tokens, keep=True)
        return self.logits(self.ln_f(x[torch.arange(len(x), device=x.device), lengths - 1]))

    def decode(self, tokens, position, mask, n):
        x = (self.wte(tokens) + self.wpe(position))[:, None]
        for block in self.blocks:
            x = block.decode(x, position, mask, n)
        return self.logits(self.ln_f(x[:, 0]))


# ---- completions --------------------------------------------------------------------------------


def draw(logits, vocabulary):
    """A token a row and its log-probability. What torch.multinomial does for one sample, without its
    checks, which wait for the device."""
    logprob = F.log_softmax(logits[:, :vocabulary].float(), dim=-1)
    token = (logprob.exp() / torch.empty_like(logprob).exponential_()).argmax(dim=-1)
    return token, logprob.gather(1, token[:, None])[:, 0]


class Sampler:
    """Completions of B sequences of at most n positions. On a GPU a step is one graph over the whole
    cache, or the same calls one by one; on a CPU a step sees no more of it than is filled."""

    def __init__(self, model, B, n, device, dtype, compiled):
        self.model, self.device = model, device
        model.add_cache(B, n, dtype)
        self.n, self.places = n, torch.arange(n, device=device)
        self.compiled = torch.compile(self.masked, mode="reduce-overhead", fullgraph=True) if compiled else None

    def masked(self, tokens, position):
        mask = (self.places <= position[:, None])[:, None, None]
        return draw(self.model.decode(tokens, position, mask, self.n), self.model.vocabulary)

    def step(self, tokens, position, longest, ragged):
        if self.compiled:
            torch.compiler.cudagraph_mark_step_begin()
            return tuple(t.clone() for t in self.compiled(tokens, position))
        if self.device.type == "cuda":
            return self.masked(tokens, position)
        mask = (self.places[:longest] <= position[:, None])[:, None, None] if ragged else None
        return draw(self.model.decode(tokens, position, mask, longest), self.model.vocabulary)

    def __call__(self, prompts, lengths, new, prompts_done=lambda: None):
        """Tokens [B,new] and how many of each row were drawn, its end included."""
        longest, ragged = prompts.shape[1], bool((lengths != lengths[0]).any())
        tokens, _ = draw(self.model.prompt(prompts, lengths), self.model.vocabulary)
        prompts_done()
        position, drawn = lengths.clone(), [tokens]
        count, alive = torch.ones_like(lengths), tokens != END
        for step in range(1, new):
            # Looking waits for the device, where it is rarely worth it.
            if self.device.type == "cpu" and not alive.any():
                break
            tokens, _ = self.step(tokens, position, longest + step, ragged)
            drawn.append(tokens)
            count += alive
            alive &= tokens != END
            position += 1
        drawn += [torch.zeros_like(tokens)] * (new - len(drawn))
        return torch.stack(drawn, dim=1), count
