#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer of bench/ppo: one PPO-ptx iteration of four networks in PyTorch, in the way of TRL's trainer.

The same work: prompts of PROMPT/2..PROMPT tokens, responses drawn with a KV cache, log-probabilities
under policy and reference, scores, values; then for every minibatch the clipped losses of policy and
value function, PTX_RATIO pretraining sequences a response, AdamW of both and the moving average.
Sequences are padded on the right and attention is causal without a mask, so that a fused kernel can
serve it. On a CPU eager and fp32. With --cuda fp32 weights under autocast to bf16, fused AdamW, and a
copy of the policy in bf16 to draw with, whose step is compiled with mode="reduce-overhead"; with --eager
it is not: so TRL does it.
Prints one line of JSON.
"""
import json
import sys

sys.dont_write_bytecode = True
import gpt_torch as gpt  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

ROUNDS = 3
POSITIONS = 16384  # of a pass, at most
BETA, GAMMA, LAMBDA, CLIP, GAMMA_PTX, EMA = 0.02, 1.0, 0.95, 0.2, 27.8, 0.992


def whiten(x, seen):
    mean = (x * seen).sum() / seen.sum()
    return (x - mean) / (((x - mean) ** 2 * seen).sum() / seen.sum() + 1e-8).sqrt()


class Loop:
    def __init__(self, asked, device):
        self.asked, self.device = asked, device
        self.n, self.shortest = asked.prompt + asked.new, asked.prompt - asked.prompt // 2
        self.policy, self.reference = self.network(), self.network().eval()
        self.reward, self.value = self.network(scalar=True).eval(), self.network(scalar=True)
        self.reference.load_state_dict(self.policy.state_dict())
        self.reference.requires_grad_(False)
        self.reward.requires_grad_(False)
        self.adams = [self.adam(self.policy), self.adam(self.value)]
        self.ema = [p.detach().clone() for p in self.policy.parameters()]
        self.drawer = self.network().to(torch.bfloat16) if asked.cuda else self.policy
        self.sampler = gpt.Sampler(self.drawer, asked.batch, self.n, device, self.drawer.wte.weight.dtype, asked.compiled)
        self.text = torch.randint(0, self.policy.vocabulary, (100000,), device=device)

    def network(self, scalar=False):
        return gpt.GPT(self.asked.name, self.n, self.device, scalar)

    def adam(self, model):
        fused = {"fused": True} if self.asked.cuda else {}
        return torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), eps=1e-5, weight_decay=0, **fused)

    def logprobs(self, model, tokens):
        """[B,n-1]: of each token but the first, given those before it."""
        logits = model.logits(model.hidden(tokens[:, :-1]))[..., :model.vocabulary].float()
        return -F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none").view(len(tokens), -1)

    def values(self, model, tokens):
        """[B,n-1]: of the state before each token."""
        return model.values(tokens[:, :-1])

    def passes(self, count):
        """Of `count` sequences those of each."""
        step = max(1, POSITIONS // self.n)
        return [slice(at, min(count, at + step)) for at in range(0, count, step)]

    # ---- a rollout

    def draw(self):
        """Sequences padded on the right, where responses start, and where they end."""
        asked = self.asked
        if self.drawer is not self.policy:
            torch._foreach_copy_(list(self.drawer.parameters()), list(self.policy.parameters()))
        prompts = torch.randint(1, self.policy.vocabulary, (asked.batch, asked.prompt), device=self.device)
        lengths = torch.randint(self.shortest, asked.prompt + 1, (asked.batch,), device=self.device)
        response, count = self.sampler(prompts, lengths, asked.new)
        tokens = F.pad(prompts, (0, asked.new))
        place = lengths[:, None] + torch.arange(asked.new, device=self.device)
        return tokens.scatter(1, place, response), lengths, lengths + count

    def judge(self, tokens, first, end):
        parts = [tokens[at] for at in self.passes(len(tokens))]
        old = torch.cat([self.logprobs(self.policy, part) for part in parts])
        reference = torch.cat([self.logprobs(self.reference, part) for part in parts])
        values = torch.cat([self.values(self.value, part) for part in parts])
        rows = torch.arange(len(tokens), device=self.device)
        scores = torch.cat([self.reward.values(part) for part in parts])[rows, end - 1]
        place = torch.arange(1, self.n, device=self.device)  # of the token that a column is about
        seen = (place >= first[:, None]) & (place < end[:, None])
        rewards = -BETA * (old - reference)
        rewards[rows, end - 2] += scores
        return old, values * seen, rewards * seen, seen

    def advantages(self, values, rewards):
        out, last = torch.zeros_like(values), 0
        for t in reversed(range(self.shortest - 1, values.shape[1])):
            following = values[:, t + 1] if t + 1 < values.shape[1] else 0
            last = rewards[:, t] + GAMMA * following - values[:, t] + GAMMA * LAMBDA * last
            out[:, t] = last
        return out

    # ---- what is learnt from it

    def policy_step(self, tokens, old, advantage, seen):
        for at in self.passes(len(tokens)):
            with gpt.mixed(self.device):
                new = self.logprobs(self.policy, tokens[at])
            ratio = (new - old[at]).exp()
            gain = torch.min(ratio * advantage[at], ratio.clamp(1 - CLIP, 1 + CLIP) * advantage[at])
            (-(gain * seen[at]).sum() / seen.sum()).backward()
        count = len(tokens) * self.asked.ptx_ratio
        if count:
            starts = torch.randint(0, len(self.text) - self.n, (count,), device=self.device)
            text = self.text[starts[:, None] + torch.arange(self.n, device=self.device)]
            for at in self.passes(count):
                with gpt.mixed(self.device):
                    loss = -self.logprobs(self.policy, text[at]).sum() / (count * (self.n - 1))
                (GAMMA_PTX * loss).backward()
        self.update(self.adams[0])
        torch._foreach_mul_(self.ema, EMA)
        torch._foreach_add_(self.ema, [p.detach() for p in self.policy.parameters()], alpha=1 - EMA)

    def value_step(self, tokens, old, returns, seen):
        for at in self.passes(len(tokens)):
            with gpt.mixed(self.device):
                new = self.values(self.value, tokens[at])
            near = old[at] + (new - old[at]).clamp(-CLIP, CLIP)
            loss = torch.max((new - returns[at]) ** 2, (near - returns[at]) ** 2) / 2
            ((loss * seen[at]).sum() / seen.sum()).backward()
        self.update(self.adams[1])

    def update(self, adam):
        adam.step()
        adam.zero_grad(set_to_none=True)

    def iterate(self):
        """How many tokens were drawn."""
        with torch.no_grad(), gpt.mixed(self.device):
            tokens, first, end = self.draw()
            old, values, rewards, seen = self.judge(tokens, first, end)
            advantage = self.advantages(values, rewards)
        for rows in torch.randperm(self.asked.batch, device=self.device).split(self.asked.minibatch):
            part = seen[rows]
            self.policy_step(tokens[rows], old[rows], whiten(advantage[rows], part), part)
            self.value_step(tokens[rows], values[rows], advantage[rows] + values[rows], part)
        return int((end - first).sum())


def main():
    asked = gpt.arguments(__doc__, ["batch", "minibatch", "prompt", "new", "ptx_ratio"])
    device = gpt.start(asked.cuda)
    loop = Loop(asked, device)
    loop.iterate()  # compiles, and grows what there is
    rounds = []
    for _ in range(ROUNDS):
        start = gpt.now(device)
        drawn = loop.iterate()
        rounds.append((gpt.now(device) - start, drawn))
    seconds, drawn = gpt.median(rounds)
    how = ["bf16 autocast", "SDPA", "fused AdamW", "eager" if asked.eager else "decoding reduce-overhead"]
    print(json.dumps({"who": gpt.who(*(how if asked.cuda else ["fp32", "eager"])), "shape": asked.name,
                      "iteration_s": seconds, "drawn_tokens": drawn, "tokens_per_s": drawn / seconds}))


main()
