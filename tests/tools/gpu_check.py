#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gpu_check.py - tools/gpu-check on a machine that only seems to have a GPU: every program that it calls is
a script that says what the real one would say. Nothing is measured here; what is tested is what becomes of
what programs say: the result, the table, failures, time that runs out.

Usage: gpu_check.py ROOT
"""
import json
import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop(1)).resolve()
TOOL = ROOT / "tools/gpu-check"
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tools"))
import gpu_table  # noqa: E402

JUNIT = """<testsuite tests="2"><testcase name="test-gpu-adam" status="run"/><testcase name="e2e-device-gpu" status="{}"/>
</testsuite>"""

# What each program says; {out} is the folder of the test.
PROGRAMS = {
    "nvidia-smi": 'echo "NVIDIA H100 80GB HBM3, 580.1, 81559 MiB, 9.0, 700.00 W"',
    "nvcc": 'echo "Cuda compilation tools, release 13.0, V13.0.88"',
    "cmake": "true",
    "ctest": """\
        case "$*" in
        *"(kernel|table)"*json-v1*) echo '{{"tests": [{{"name": "test-gpu-kernel-adam", "command": ["/bin/true"]}},
            {{"name": "test-gpu-table-gemm", "command": ["/bin/echo"]}}]}}' ;;
        *json-v1*) echo '{{"tests": [{{"name": "test-gpu-kernel-adam", "command": ["/bin/true"]}}]}}' ;;
        *) while [ "$1" != --output-junit ]; do shift; done; cp {out}/junit.xml "$2" ;;
        esac""",
    "compute-sanitizer": 'echo "$*" >>{out}/sanitized',
    "python3": """\
        case "$1" in
        -c) echo "True 2.11.0+cu130" ;;
        *device_torch.py) [ "$2" = attention ] && echo '{{"what": "attention", "forward_tflops": 200, "backward_tflops": 150}}' ||
            echo '{{"what": "gemm", "tflops": 800, "gb_per_s": 3100}}' ;;
        *) echo 'warming up'; echo '{{"tokens_per_s": 1000, "who": "torch"}}' ;;
        esac""",
}
BUILT = {
    "bench-device": """\
        [ "$2" = attention ] && echo '{{"what": "attention", "forward_tflops": 300, "backward_tflops": 225}}' || {{
        echo '{{"what": "gemm", "tflops": 790}}'; echo '{{"what": "copy", "gb_per_s": 3000}}'; }}""",
    "bench-train": """echo '{{"tokens_per_s": 510000.0, "mfu": 0.41, "who": "cairn"}}'""",
    "bench-sample": """echo '{{"tokens_per_s": 2500.0, "who": "cairn"}}'""",
    "bench-ppo": """echo 'gemm 70 %'; echo '{{"tokens_per_s": 4000.0, "who": "cairn"}}'""",
    "cairn": """\
        case "$*" in
        *cost*) echo '{{"total": {{"pf_days": 1e-4, "seconds": 30.5}}, "stages": [{{"instance": "sft", "state": "done",
            "seconds": 20.5, "pf_days": 1e-4, "flop_per_second": 4e14, "mfu": 0.4}}]}}' ;;
        *) mkdir -p "$2" ;;
        esac""",
}


class GpuCheck(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.out = Path(held.name)
        self.result = self.out / "results/nvidia-h100-80gb-hbm3.json"
        for name, text in PROGRAMS.items():
            self.script(f"bin/{name}", text)
        for name, text in BUILT.items():
            self.script(f"build/{name}", text)
        (self.out / "junit.xml").write_text(JUNIT.format("run"))

    def script(self, name, text):
        path = self.out / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + textwrap.dedent(text).format(out=self.out) + "\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def check(self, *words):
        path = f"{self.out}/bin:/usr/bin:/bin"
        where = ["--build", self.out / "build", "--out", self.out / "results"]
        return subprocess.run([sys.executable, TOOL, *where, *words], capture_output=True, text=True, check=False,
                              env={**os.environ, "PATH": path})

    def test_measures_and_writes_all(self):
        ran = self.check()
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        result = json.loads(self.result.read_text())
        self.assertEqual(set(result["figures"]), {figure[0] for figure in gpu_table.FIGURES})
        self.assertTrue(all(part["state"] == "ok" for part in result["parts"].values()), result["parts"])
        self.assertEqual(result["figures"]["train_124m"]["ours"], 510000)
        self.assertEqual(result["figures"]["train_124m_mfu"]["ours"], 41)
        self.assertEqual(result["gpu"]["name"], "NVIDIA H100 80GB HBM3")
        self.assertEqual(result["versions"], {"driver": "580.1", "CUDA": "13.0", "PyTorch": "2.11.0+cu130"})
        table = self.result.with_suffix(".md").read_text()
        self.assertIn("| GPT-2 124M training, T = 1024 | tok/s | 510,000 | >= 500,000 | yes | 1,000 | 510 |", table)
        self.assertIn("| decoding 124M, one sequence | tok/s | 2,500 | >= 3,000 | no |", table)
        self.assertIn("| sft | done | 20.5 | 1.00e-04 | 400 | 40.0 % |", table)
        self.assertIn(table, ran.stdout)
        sanitized = (self.out / "sanitized").read_text()
        for tool, program in (("memcheck", "/bin/true"), ("memcheck", "/bin/echo"), ("racecheck", "/bin/true")):
            self.assertIn(f"--tool {tool} --error-exitcode 99 {program}\n", sanitized)
        self.assertEqual(sanitized.count("racecheck"), 1)

    def test_a_table_can_be_made_again(self):
        self.check("--only", "ceilings")
        again = self.check("--table", self.result)
        self.assertEqual(again.stdout, self.result.with_suffix(".md").read_text())

    def test_without_a_gpu_says_so(self):
        self.script("bin/nvidia-smi", "exit 9")
        ran = self.check()
        self.assertEqual(ran.returncode, 77)
        self.assertEqual(len(ran.stdout.splitlines()), 1)
        self.assertIn("no NVIDIA GPU", ran.stdout)
        self.assertFalse(self.result.exists())

    def test_a_skipped_test_is_a_failure(self):
        (self.out / "junit.xml").write_text(JUNIT.format("notrun"))
        ran = self.check("--only", "tests,ceilings")
        self.assertEqual(ran.returncode, 1)
        parts = json.loads(self.result.read_text())["parts"]
        self.assertEqual(parts["tests"]["state"], "failed")
        self.assertIn("1 of 2 failed or were skipped: e2e-device-gpu", parts["tests"]["note"])
        self.assertEqual(parts["ceilings"]["state"], "ok")

    def test_a_hazard_is_a_failure(self):
        self.script("bin/compute-sanitizer", "exit 99")
        self.assertEqual(self.check("--only", "sanitizer").returncode, 1)

    def test_time_that_runs_out_ends_a_part_and_keeps_what_was_measured(self):
        self.script("build/bench-train", "sleep 60 & wait")
        start = time.monotonic()
        ran = self.check("--only", "ceilings,training,ppo", "--minutes", "0.15")
        self.assertEqual(ran.returncode, 1)
        self.assertLess(time.monotonic() - start, 30)
        result = json.loads(self.result.read_text())
        self.assertEqual(result["parts"]["training"]["state"], "out of time")
        self.assertEqual(set(result["figures"]), {"gemm", "copy", "ppo_124m"})

    def test_without_a_peer_measures_us(self):
        self.script("bin/python3", "exit 1")
        ran = self.check("--only", "decoding")
        self.assertIn("figures without peers", ran.stdout)
        figures = json.loads(self.result.read_text())["figures"]
        self.assertIsNone(figures["decode_124m_1"]["peer"])
        self.assertEqual(figures["decode_124m_1"]["ours"], 2500)

    def test_a_workflow_that_fails_is_told(self):
        self.script("build/cairn", "exit 1")
        self.assertEqual(self.check("--only", "workflow").returncode, 1)

    def test_the_page_of_missing_figures_is_what_the_tool_writes(self):
        here = sorted((ROOT / "bench/results").glob("*.json"))
        page = ROOT / "bench/results/gpu-missing.md"
        self.assertEqual(page.exists(), not here, "a measured GPU and the page of none exclude each other")
        if page.exists():
            self.assertEqual(page.read_text(), self.check("--no-figures").stdout)
        for path in here:
            self.assertEqual(path.with_suffix(".md").read_text(), self.check("--table", path).stdout)

    def test_usage(self):
        self.assertEqual(self.check("--only", "nothing").returncode, 2)
        listed = self.check("--list").stdout
        budgets = [int(line.split()[1]) for line in listed.splitlines()]
        self.assertLess(sum(budgets), 8 * 60)
        self.assertIn("77", self.check("--help").stdout)


unittest.main(verbosity=2)
