"""Trains on solar cells, lets a running agent judge the held-out ones, and prints the agent's own statistics.

    make solar                          # three divisions of the data set
    make solar ARGS="--seeds 11 12"     # others
    make solar ARGS="--split blocks"    # neighbours of the training cells are never judged

Rules of this file:
- Training has an environment of its own (`.venv` in this folder); the agent runs from the project's.
- All that is made lies in `build/` and stays on this machine: the data set's licence is non-commercial.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from examples.solar_cells.agent import Agent, running_agent, wait_for

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = HERE / "build"
PYTHON = HERE / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
PRODUCT, ITEM = "SOLAR-CELL", "EL"
DETECTOR = "PP-OCRv6_det_small.onnx"
SEEDS = (11, 12, 13)
JUDGED_S = 600.0
PUBLISHED = (("Deitsch et al. 2019, SVM", 82.44), ("Deitsch et al. 2019, CNN", 88.42))
COLUMNS = ("accuracy", "overkill", "escape")


def prepare() -> None:
    """The training environment, pinned by hash; made again only when the pins change."""
    pins = HERE / "requirements.txt"
    stamp, wanted = HERE / ".venv" / ".made", hashlib.sha256(pins.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    print("installing the training environment (elpv-dataset, scikit-learn, onnx) ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(HERE / ".venv")], check=True)
    quiet = ["--quiet", "--disable-pip-version-check"]
    install = [str(PYTHON), "-m", "pip", "install", *quiet, "--require-hashes", "-r", str(pins)]
    subprocess.run(install, check=True)
    stamp.write_text(wanted, "utf-8")


def detector() -> Path:
    """The text detector that comes with the product's OCR extra."""
    found = importlib.util.find_spec("rapidocr")
    path = (
        Path(found.origin).parent / "models" / "PP-OCRv6_det_small.onnx" if found and found.origin else None
    )
    if path is None or not path.is_file():
        raise SystemExit("rapidocr's text detector is missing: start this with `make solar`")
    return path


def train(seed: int, split: str, out: Path) -> dict[str, Any]:
    """What train.py reports of one division."""
    command = [str(PYTHON), "-m", "examples.solar_cells.train", "--seed", str(seed)]
    command += ["--split", split, "--out", str(out), "--detector", str(detector())]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    report: dict[str, Any] = json.loads((out / "report.json").read_text("utf-8"))
    return report


def inspect(out: Path) -> dict[str, Any]:
    """A fresh agent judges the held-out cells; its statistics afterwards, and `inspect_s`."""
    held_out = json.loads((out / "held_out.json").read_text("utf-8"))
    hot = out / "hot"
    hot.mkdir()
    with running_agent(out / "agent") as agent:
        agent.import_bundle(out / "bundle")
        agent.watch(hot, PRODUCT, ITEM)
        started = time.monotonic()
        for cell in held_out:
            drop(Path(cell["file"]), hot)
        wait_for("all verdicts", JUDGED_S, lambda: judged(agent, len(held_out)), 0.5)
        inspect_s = time.monotonic() - started
        agent.log_in("labels")
        give_labels(agent, {Path(cell["file"]).stem: cell["probability"] for cell in held_out})
        return {**agent.statistics(), "inspect_s": inspect_s}


def drop(picture: Path, hot: Path) -> None:
    """As a camera should: written under a temporary name, then renamed."""
    partial = hot / f".{picture.name}.part"
    shutil.copyfile(picture, partial)
    partial.replace(hot / picture.name)


def judged(agent: Agent, wanted: int) -> bool | None:
    if refused := agent.quarantined():
        raise SystemExit(f"{refused} file(s) went to quarantine")
    return True if sum(agent.statistics()["ai_results"].values()) >= wanted else None


def give_labels(agent: Agent, probabilities: dict[str, float]) -> None:
    """The experts' labels as the verdicts of a person: 2/3 and 1 are NG, 0 and 1/3 are OK."""
    item_id = agent.item_id(PRODUCT)
    for session in list(agent.sessions()):
        is_ng = probabilities[session["serial_no"]] > 0.5
        result, reason = ("NG", "defective-cell") if is_ng else ("OK", None)
        agent.verify(session["id"], item_id, result, reason)


def line(name: str, values: Sequence[float | None], tail: str = "") -> str:
    shown = "".join(f"{value:10.2f}" if value is not None else f"{'–':>10}" for value in values)
    return f"{name:<28}{shown}{tail}"


def print_seed(seed: int, report: dict[str, Any], found: dict[str, Any]) -> None:
    speed = found["compared"] / found["inspect_s"]
    tail = (
        f"   n={found['compared']}, training {report['train_s']:.0f} s, {speed:.0f} cells/s,"
        f" network {report['network_ms']:.1f} ms, ONNX {report['onnx_bytes'] / 1e6:.1f} MB"
    )
    print(line(f"seed {seed}", [100 * found[name]["value"] for name in COLUMNS], tail), flush=True)


def run(seeds: Sequence[int], split: str, *, keep: bool) -> None:
    prepare()
    shutil.rmtree(BUILD, ignore_errors=True)
    print(line(f"%, {split} split", [], "".join(f"{name:>10}" for name in COLUMNS)), flush=True)
    rows: list[dict[str, float]] = []
    for seed in seeds:
        out = BUILD / f"seed-{seed}"
        out.mkdir(parents=True)
        report = train(seed, split, out)
        found = inspect(out)
        print_seed(seed, report, found)
        check(report, found)
        rows.append({name: 100 * found[name]["value"] for name in COLUMNS})
        if not keep:
            shutil.rmtree(out)
    means = [statistics.mean(row[name] for row in rows) for name in COLUMNS]
    print(line(f"mean of {len(rows)}", means))
    if len(rows) > 1:
        print(line("standard deviation", [statistics.stdev(row[name] for row in rows) for name in COLUMNS]))
    for name, accuracy in PUBLISHED:
        print(line(name, [accuracy, None, None], "   as published; see README.md on comparing"))


def check(report: dict[str, Any], found: dict[str, Any]) -> None:
    """The agent must judge as the model did in training: at most one cell of difference (rounding)."""
    cells = found["compared"]
    if cells != found["judged"] or abs(report["accuracy"] - found["accuracy"]["value"]) * cells > 1.5:
        raise SystemExit(f"the agent and the training disagree: {found} / {report}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Solar cells through the running agent")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--split", choices=("random", "blocks"), default="random")
    parser.add_argument("--keep", action="store_true", help="keep models and agents in build/")
    args = parser.parse_args()
    run(args.seeds, args.split, keep=args.keep)


if __name__ == "__main__":
    main()
