"""A language model of pairs of characters, trained by gradient descent.

Somebody's script: it needs nothing but Python, and runs without cairn as well. What makes it
resumable and visible are tell() and asked() below, and that it reads its own checkpoint.

    train.py TEXT MODEL.json
"""

import json
import math
import os
import random
import sys


# ---- cairn: lines into a file, files that ask for something ------------------------------------

def tell(line):
    """One line for cairn; nothing where nobody listens."""
    if "CAIRN_EVENTS" in os.environ:
        with open(os.environ["CAIRN_EVENTS"], "a") as events:
            events.write(line + "\n")


def asked(what):
    """Whether cairn wants a "checkpoint", or us to "stop"."""
    return os.path.exists(os.path.join(os.environ.get("CAIRN_ASK", "."), what))


# ---- the trainer ---------------------------------------------------------------------------------

def softmax(row):
    top = max(row)
    powers = [math.exp(x - top) for x in row]
    total = sum(powers)
    return [p / total for p in powers]


def train_step(weights, pairs, lr):
    """One step of descent on these pairs; their mean loss."""
    loss = 0.0
    gradient = {}
    for a, b in pairs:
        p = softmax(weights[a])
        loss -= math.log(p[b])
        row = gradient.setdefault(a, [0.0] * len(weights))
        for c in range(len(weights)):
            row[c] += p[c] - (c == b)
    for a, row in gradient.items():
        for c in range(len(weights)):
            weights[a][c] -= lr * row[c]
    return loss / len(pairs)


def save(directory, step, weights):
    os.makedirs(directory)
    with open(os.path.join(directory, "state.json"), "w") as file:
        json.dump({"step": step, "weights": weights}, file)


def main():
    text = open(sys.argv[1], encoding="utf-8").read()[:20000]
    alphabet = sorted(set(text))
    numbers = [alphabet.index(c) for c in text]
    steps = int(os.environ.get("STEPS", "100"))
    lr = float(os.environ.get("LR", "0.05"))
    seed = int(os.environ.get("CAIRN_SEED", "1"))
    first, weights = 1, [[0.0] * len(alphabet) for _ in alphabet]

    if "CAIRN_RESUME" in os.environ:
        with open(os.path.join(os.environ["CAIRN_RESUME"], "state.json")) as file:
            state = json.load(file)
        first, weights = state["step"] + 1, state["weights"]
        print(f"going on at step {first}", file=sys.stderr)

    for step in range(first, steps + 1):
        # What is drawn follows from seed and step alone: a resumed run draws the same.
        draw = random.Random(seed * 1000003 + step)
        at = [draw.randrange(len(numbers) - 1) for _ in range(64)]
        loss = train_step(weights, [(numbers[i], numbers[i + 1]) for i in at], lr)
        tell(f"step {step} of {steps} loss={loss!r} tokens={64 * step}")

        if step % 50 == 0 or asked("checkpoint") or asked("stop"):
            save(f"ck-{step}", step, weights)
            tell(f"checkpoint {step} ck-{step}")
        if asked("stop"):
            return
        if str(step) == os.environ.get("FAIL_AT"):  # to show what happens then
            sys.exit(f"step {step}: somebody pulled the plug")

    tell(f"summary loss={loss!r} characters={len(alphabet)}")
    with open(sys.argv[2], "w") as file:
        json.dump({"alphabet": alphabet, "weights": weights}, file)


main()
