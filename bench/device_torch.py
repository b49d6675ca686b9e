#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer of bench/device: a large product, a copy and attention in PyTorch.

Usage: device_torch.py gemm [N] | copy [MIB] | attention B T NH D ROUNDS   [--cuda]
With --cuda numbers are bf16, else fp32. FLOPs and bytes are counted as bench/device.c does. Attention
is scaled_dot_product_attention: a line of JSON for each of its fused kernels that takes these sizes
(flash, cuDNN's), without --cuda for whatever there is.
"""
import contextlib
import json
import sys

sys.dont_write_bytecode = True
import gpt_torch as gpt  # noqa: E402
import torch  # noqa: E402

ROUNDS = 3
LONG_ENOUGH = 0.03  # seconds of a round


def measure(call, device, rounds=ROUNDS):
    """Seconds of one call: the median of rounds of as many as take some time."""
    call()
    seconds, calls = [], 1
    while len(seconds) < rounds:
        start = gpt.now(device)
        for _ in range(calls):
            call()
        spent = gpt.now(device) - start
        if spent < LONG_ENOUGH:
            calls *= 2
        else:
            seconds.append(spent / calls)
    return gpt.median(seconds)


def say(what, *how, **fields):
    print(json.dumps({"who": gpt.who(*how), "what": what, **fields}))


def gemm(device, dtype, N=8192):
    a, b = torch.randn(N, N, device=device, dtype=dtype), torch.randn(N, N, device=device, dtype=dtype)
    out = torch.empty_like(a)
    seconds = measure(lambda: torch.matmul(a, b, out=out), device)
    say("gemm", str(dtype), N=N, us=1e6 * seconds, tflops=2 * N**3 / seconds / 1e12)


def copy(device, _, mib=1024):
    a = torch.zeros(mib << 20, device=device, dtype=torch.uint8)
    out = torch.empty_like(a)
    seconds = measure(lambda: out.copy_(a), device)
    say("copy", mib=mib, us=1e6 * seconds, gb_per_s=2 * (mib << 20) / seconds / 1e9)


def kernels_of_attention(device):
    """Name and context of each."""
    if device.type == "cpu":
        return [("any", contextlib.nullcontext)]
    from torch.nn.attention import SDPBackend, sdpa_kernel
    names = [("flash", "FLASH_ATTENTION"), ("cuDNN", "CUDNN_ATTENTION")]
    return [(name, lambda it=getattr(SDPBackend, it): sdpa_kernel(it)) for name, it in names if hasattr(SDPBackend, it)]


def attention(device, dtype, B, T, heads, head, rounds):
    q, k, v, dout = (torch.randn(B, heads, T, head, device=device, dtype=dtype) for _ in range(4))
    inputs = [t.requires_grad_() for t in (q, k, v)]
    flop = 2 * B * heads * T * T * head
    for name, only in kernels_of_attention(device):
        try:
            with only():
                with torch.no_grad():
                    forward = measure(lambda: gpt.attend(q, k, v, causal=True), device, rounds)
                out = gpt.attend(q, k, v, causal=True)
                backward = measure(lambda: torch.autograd.grad(out, inputs, dout, retain_graph=True), device, rounds)
        except RuntimeError as error:
            print(f"device_torch: {name}: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        say("attention", name, B=B, T=T, heads=heads, head=head, forward_us=1e6 * forward,
            forward_tflops=flop / forward / 1e12, backward_us=1e6 * backward,
            backward_tflops=2.5 * flop / backward / 1e12)


def main():
    words = [word for word in sys.argv[1:] if word != "--cuda"]
    cuda = len(words) < len(sys.argv) - 1
    what = {"gemm": gemm, "copy": copy, "attention": attention}.get(words[0] if words else "")
    if not what or len(words) not in ((6,) if what is attention else (1, 2)):
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    device = gpt.start(cuda)
    what(device, torch.bfloat16 if cuda else torch.float32, *map(int, words[1:]))


main()
