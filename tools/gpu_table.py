# SPDX-License-Identifier: Apache-2.0
"""gpu_table.py - what is wanted of one GPU, and the table that says what it gives.

The figures of a run of gpu-check are one dictionary, figure's name -> {"ours", "peer", ...}; a figure
that is not in it was not measured, and its row shows '-'. The targets are estimates for one H100; only a
measurement turns them into facts.
"""

# name in the JSON, what the row says, unit, target, what is wanted of ours against the peer, the peer
FIGURES = [
    ("gemm", "product of bf16, 8192 x 8192 x 8192", "TFLOP/s", None, None, "torch.matmul"),
    ("copy", "device copy, read + written", "GB/s", None, None, "torch copy_"),
    ("train_124m", "GPT-2 124M training, T = 1024", "tok/s", 500_000, None, "PyTorch, compile, SDPA"),
    ("train_124m_mfu", "the same, of the peak", "% MFU", 40, None, None),
    ("train_1558m", "GPT-2 1.5B training, T = 1024", "tok/s", None, None, None),
    ("train_1558m_mfu", "the same, of the peak", "% MFU", 50, None, None),
    ("decode_124m_1", "decoding 124M, one sequence", "tok/s", 3_000, None, "PyTorch, static cache"),
    ("decode_124m_64", "decoding 124M, 64 sequences", "tok/s", 100_000, None, "PyTorch, static cache"),
    ("attention_1024", "flash attention, head 64, T = 1024, forward", "TFLOP/s", 290, None, "SDPA"),
    ("attention_1024_back", "the same, backward", "TFLOP/s", 250, None, "SDPA"),
    ("attention_2048", "flash attention, head 64, T = 2048, forward", "TFLOP/s", 290, None, "SDPA"),
    ("attention_2048_back", "the same, backward", "TFLOP/s", 250, None, "SDPA"),
    ("attention_4096", "flash attention, head 64, T = 4096, forward", "TFLOP/s", 290, None, "SDPA"),
    ("attention_4096_back", "the same, backward", "TFLOP/s", 250, None, "SDPA"),
    ("ppo_124m", "one PPO-ptx iteration, 124M, four networks", "tok/s", None, 3, "TRL-style loop in PyTorch"),
]


def number(value):
    """A figure with as many digits as say something."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def row(figure, measured):
    name, says, unit, target, wanted, peer = figure
    got = measured.get(name, {})
    ours, theirs = got.get("ours"), got.get("peer")
    ratio = ours / theirs if ours and theirs else None
    aim = f">= {number(target)}" if target else f">= {wanted} x the peer" if wanted else ""
    met = ""
    if target and ours:
        met = "yes" if ours >= target else "no"
    elif wanted and ratio:
        met = "yes" if ratio >= wanted else "no"
    cells = [says, unit, number(ours), aim, met, number(theirs) if peer else "", number(ratio) if peer else "",
             got.get("peer_is", peer or "")]
    return "| " + " | ".join(cells) + " |"


def stages(workflow):
    """What `cairn cost` said of the workflow's stages."""
    lines = ["", f"## `{workflow['command']}`", "", workflow["says"], "",
             "| stage | state | seconds | PF-days | TFLOP/s | MFU |", "|---|---|---|---|---|---|"]
    for stage in workflow["stages"]:
        rate, mfu = stage.get("flop_per_second"), stage.get("mfu")
        lines.append(f"| {stage['instance']} | {stage['state']} | {stage['seconds']:.1f} | {stage['pf_days']:.2e} | "
                     f"{number(rate / 1e12 if rate else None)} | {f'{100 * mfu:.1f} %' if mfu else '-'} |")
    return lines


def head(result):
    """Of a machine that was measured, and of none."""
    gpu = result.get("gpu")
    if not gpu:
        return ["# No GPU has been measured yet", "",
                "No GPU was to be had while the CUDA backend was written: every figure below is missing, and the targets",
                "are estimates for one H100. What is proven without a GPU stands in `plugins/kernels/cuda/README.md`, under",
                "\"Tests\". `make gpu-check` on a machine with one writes its own file beside this one; this one is then to be",
                "deleted. Written by `tools/gpu-check --no-figures`.", ""]
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items() if value)
    return [f"# {gpu['name']}, {result['date']}", "",
            f"Commit {result['commit']}; {gpu['memory']}, compute capability {gpu['capability']}, {gpu['power']}; {versions}.",
            f"Written by `{result['command']}`; the figures of a row are of one run, ours and the peer's in turns.", ""]


def parts(result):
    lines = ["", "## What ran", "", "| part | | seconds | |", "|---|---|---|---|"]
    for name, part in result["parts"].items():
        lines.append(f"| {name} | {part['state']} | {part['seconds']:.0f} | {part['note']} |")
    return lines


def table(result):
    """The readable form of a result, as lines of Markdown."""
    lines = head(result)
    lines += ["| what | unit | measured | wanted | met | peer | ratio | the peer is |", "|---|---|---|---|---|---|---|---|"]
    lines += [row(figure, result.get("figures", {})) for figure in FIGURES]
    if result.get("workflow"):
        lines += stages(result["workflow"])
    if result.get("parts"):
        lines += parts(result)
    return "\n".join(lines) + "\n"
