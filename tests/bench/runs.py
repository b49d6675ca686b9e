#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""runs.py - a benchmark runs, small, and says what those who read it look for.

Usage: runs.py LINES FIELD,FIELD,... PROGRAM ARGUMENTS...
LINES lines of what the program prints are JSON; all of them name "who", and each FIELD is in one of them
at least and a finite number above 0 wherever it is; FIELD? may be null. A program that ends in .py is a
peer: it is skipped (77) where no python has PyTorch. How fast anything is is not looked at.
"""
import json
import math
import os
import shutil
import subprocess
import sys

SKIP = 77


def python_with_torch():
    for python in dict.fromkeys([shutil.which("python3"), "/usr/bin/python3"]):
        if python and subprocess.run([python, "-c", "import torch"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return python
    return None


def is_right(value, may_be_null):
    if value is None:
        return may_be_null
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


def main():
    n_lines, fields, command = int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]
    if command[0].endswith(".py"):
        python = python_with_torch()
        if not python:
            print("no python here has PyTorch: the peers are not tried")
            return SKIP
        command = [python, *command]
    # One thread: small work on several mostly waits for the others.
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    print(ran.stdout, end="")
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    faults = []
    if ran.returncode:
        faults.append(f"it ended with {ran.returncode}")
    if len(lines) != n_lines:
        faults.append(f"{len(lines)} lines of JSON, not {n_lines}")
    if not all(line.get("who") for line in lines):
        faults.append("a line does not say who")
    for field in fields:
        name = field.rstrip("?")
        values = [line[name] for line in lines if name in line]
        if not values or not all(is_right(value, field.endswith("?")) for value in values):
            faults.append(f"'{name}' is {values}")
    for fault in faults:
        print(f"runs.py: {fault}", file=sys.stderr)
    return 1 if faults else 0


sys.exit(main())
