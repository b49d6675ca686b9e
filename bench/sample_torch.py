#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer of bench/sample: completions with a KV cache in PyTorch, prompts included.

On a CPU eager and fp32 (run it through bench/run, which sets the tuned environment). With --cuda the
weights are bf16, the cache is static and a step of decoding is compiled with mode="reduce-overhead",
that is replayed as a CUDA graph. With --generate the network and the loop are Hugging Face's:
GPT2LMHeadModel.generate(cache_implementation="static"), where transformers is installed.
Temperature 1; token 0 ends a completion (the batch runs on until all have ended; on a GPU nobody
looks, and it runs to its length). Prints one line of JSON.
"""
import json
import sys

sys.dont_write_bytecode = True
import gpt_torch as gpt  # noqa: E402
import torch  # noqa: E402


def ours(asked, device, dtype):
    """Draws once; gives tokens drawn and when the prompts were through."""
    model = gpt.GPT(asked.name, asked.prompt + asked.new, device).to(dtype)
    sampler = gpt.Sampler(model, asked.B, asked.prompt + asked.new, device, dtype, asked.compiled)
    lengths = torch.full((asked.B,), asked.prompt, device=device)

    def complete(prompts):
        first = []
        _, count = sampler(prompts, lengths, asked.new, lambda: first.append(gpt.now(device)))
        return int(count.sum()), first[0]

    return complete


def hugging_face(asked, device, dtype):
    import transformers

    layers, heads, c, vocabulary = gpt.SHAPES[asked.name]
    config = transformers.GPT2Config(n_layer=layers, n_head=heads, n_embd=c, vocab_size=vocabulary,
                                     n_positions=asked.prompt + asked.new, bos_token_id=gpt.END, eos_token_id=gpt.END)
    model = transformers.GPT2LMHeadModel(config).to(device, dtype).eval()
    cache = {"cache_implementation": "static"} if asked.cuda else {}

    def complete(prompts):
        out = model.generate(prompts, attention_mask=torch.ones_like(prompts), do_sample=True, top_k=0,
                             max_new_tokens=asked.new, pad_token_id=gpt.END, **cache)
        ended = (out[:, asked.prompt:] == gpt.END).int().cumsum(dim=1)
        return int((ended == 0).sum() + (ended[:, -1] > 0).sum()), None

    return complete


def main():
    asked = gpt.arguments(__doc__, ["B", "prompt", "new", "rounds"], generate="by Hugging Face's transformers")
    device = gpt.start(asked.cuda)
    dtype = torch.bfloat16 if asked.cuda else torch.float32
    try:
        complete = (hugging_face if asked.generate else ours)(asked, device, dtype)
    except ImportError:
        sys.exit("sample_torch: transformers is not installed: its generate() is left out")
    prompts = torch.randint(1, gpt.SHAPES[asked.name][3], (asked.B, asked.prompt), device=device)
    warm = 2 if asked.cuda else 1  # the first calls compile and capture
    speed, decoding = [], []
    with torch.no_grad() if asked.cuda else torch.inference_mode():
        for _ in range(warm + asked.rounds):
            start = gpt.now(device)
            drawn, first = complete(prompts)
            end = gpt.now(device)
            speed.append(drawn / (end - start))
            decoding.append((drawn - asked.B) / (end - first) if first else None)
    how = ["bf16", "static cache", "eager" if asked.eager else "reduce-overhead"] if asked.cuda else ["fp32", "eager"]
    if asked.generate:
        how = ["transformers' generate()", *how[:2]]
    print(json.dumps({"who": gpt.who(*how), "shape": asked.name, "B": asked.B, "prompt": asked.prompt, "new": asked.new,
                      "tokens_per_s": gpt.median(speed[warm:]),
                      "decode_tokens_per_s": gpt.median(decoding[warm:]) if decoding[0] else None}))


main()
