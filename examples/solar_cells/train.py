"""Trains on one division of the data set and writes a bundle the agent can import.

    examples/solar_cells/.venv/bin/python -m examples.solar_cells.train --seed 1 --out DIR --detector FILE

Rules of this file:
- The held-out cells are never read before the model is written; every choice is made on the other 75 %.
- What it writes derives from the data set (CC BY-NC-SA 4.0): it stays on this machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression  # type: ignore[import-not-found]
from sklearn.model_selection import StratifiedKFold  # type: ignore[import-not-found]
from sklearn.svm import SVC  # type: ignore[import-not-found]

from examples.solar_cells import graph
from examples.solar_cells.bundle import write_bundle
from examples.solar_cells.cells import DIVISIONS, Cell, load_cells, picture
from examples.solar_cells.graph import MEAN, SIDE_PX, STD, Array, Classifier

FOLDS = 4
COSTS = (2.0, 5.0, 10.0, 20.0)
WIDTHS = (0.3, 0.7, 1.2)
"""Candidates for the kernel's gamma, times the number of features."""

Labels = NDArray[np.int64]


class Network:
    """An ONNX model on one thread, as the agent runs it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, pixels: NDArray[np.uint8]) -> Array:
        """The only output for one gray picture, without its leading 1."""
        tensor = ((pixels.astype(np.float32) - MEAN) / STD)[None, None]
        return np.asarray(self._session.run(None, {"image": tensor})[0][0], np.float32)


def features_of(network: Network, cells: Sequence[Cell]) -> Array:
    """N×D."""
    return np.stack([network(picture(cell.path, SIDE_PX)) for cell in cells])


def kernel(a: Array, b: Array, gamma: float) -> Array:
    distance = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
    return np.asarray(np.exp(-gamma * np.maximum(distance, 0)), np.float32)


def choose(z: Array, labels: Labels, seed: int) -> tuple[float, float, Array]:
    """Cost and gamma that judge best in cross-validation, and the values that judged so."""
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(z, labels))
    tried = []
    for width in WIDTHS:
        gram = kernel(z, z, width / z.shape[1])
        for cost in COSTS:
            values = np.zeros(len(labels), np.float32)
            for kept, out in folds:
                machine = SVC(C=cost, kernel="precomputed").fit(gram[np.ix_(kept, kept)], labels[kept])
                values[out] = machine.decision_function(gram[np.ix_(out, kept)])
            tried.append((float(np.mean((values > 0) == labels)), cost, width / z.shape[1], values))
    _, cost, gamma, values = max(tried, key=lambda entry: entry[0])
    return cost, gamma, values


def fit(features: Array, labels: Labels, seed: int) -> Classifier:
    """The machine and its probabilities, which are learnt from values it gave to cells it had not seen."""
    mean, spread = features.mean(0), features.std(0) + 1e-6
    z = (features - mean) / spread
    cost, gamma, unseen = choose(z, labels, seed)
    machine = SVC(C=cost, kernel="precomputed").fit(kernel(z, z, gamma), labels)
    scale = LogisticRegression(C=1e6).fit(unseen[:, None], labels)
    return Classifier(
        mean=mean,
        spread=spread,
        support=z[machine.support_],
        weight=np.asarray(machine.dual_coef_[0], np.float32),
        bias=float(machine.intercept_[0]),
        gamma=gamma,
        slope=float(scale.coef_[0, 0]),
        offset=float(scale.intercept_[0]),
    )


def measure(defective: Array, cells: Sequence[Cell]) -> dict[str, float]:
    """Rates of `defective` (probabilities) against the labels; `accuracy_weighted` as in the paper."""
    said = defective > 0.5
    truth = np.array([cell.is_defective for cell in cells])
    certain = np.array([cell.is_certain for cell in cells])
    some_doubt = np.array([cell.probability > 0 for cell in cells])
    weight = np.array([cell.probability or 1.0 for cell in cells])
    return {
        "accuracy": float((said == truth).mean()),
        "accuracy_certain": float((said == truth)[certain].mean()),
        "accuracy_weighted": float(np.average(said == some_doubt, weights=weight)),
        "overkill": float(said[~truth].mean()),
        "escape": float((~said)[truth].mean()),
    }


def train(seed: int, out: Path, detector: Path, split: str = "random") -> dict[str, Any]:
    """Writes `out/bundle` and `out/held_out.json`; returns what was measured, times in seconds and ms."""
    started = time.monotonic()
    cells = load_cells()
    learn, held = ([cells[index] for index in part] for part in DIVISIONS[split](cells, seed))
    features = graph.feature_graph(onnx.load(str(detector)))
    network = Network(features)
    classifier = fit(features_of(network, learn), np.array([int(c.is_defective) for c in learn]), seed)
    model = graph.with_classifier(features, classifier)
    judge = Network(model)
    goldens = [(cell.path, judge(picture(cell.path, SIDE_PX))) for cell in _samples(learn)]
    write_bundle(out / "bundle", model.SerializeToString(), goldens, version=f"1.0.{seed}")
    train_s = time.monotonic() - started

    answers, ms = [], []
    for cell in held:
        pixels = picture(cell.path, SIDE_PX)
        before = time.perf_counter()
        answers.append(judge(pixels)[1])
        ms.append((time.perf_counter() - before) * 1e3)
    truth = [{"file": str(c.path), "probability": c.probability, "kind": c.kind} for c in held]
    _write_json(out / "held_out.json", truth)
    return {
        "seed": seed,
        "split": split,
        "train_s": round(train_s, 1),
        "onnx_bytes": model.ByteSize(),
        "support_vectors": len(classifier.support),
        "network_ms": round(float(np.median(ms)), 2),
        **measure(np.array(answers), held),
    }


def _samples(cells: Sequence[Cell]) -> list[Cell]:
    """Two sound and two broken cells to prove the installed model by."""
    certain = [cell for cell in cells if cell.is_certain]
    sound, broken = ([cell for cell in certain if cell.is_defective is state] for state in (False, True))
    return [*sound[:2], *broken[:2]]


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--split", choices=DIVISIONS, default="random")
    parser.add_argument("--out", type=Path, required=True, help="a new directory")
    parser.add_argument("--detector", type=Path, required=True, help="rapidocr's PP-OCRv6_det_small.onnx")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    report = train(args.seed, args.out, args.detector, args.split)
    _write_json(args.out / "report.json", report)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
