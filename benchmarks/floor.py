"""The floor: the same work with no framework at all.

For each image, sequentially: read, write + fsync + rename, decode, preprocess, onnxruntime with one
thread, one SQLite commit at FULL. Prints one JSON line {"ms": [...]} with the milliseconds of every image.

    python -m benchmarks.floor MODEL.onnx WORK_DIR IMAGE_DIR [--size 128]
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("model", type=Path)
    arguments.add_argument("work", type=Path)
    arguments.add_argument("images", type=Path)
    arguments.add_argument("--size", type=int, default=128)
    given = arguments.parse_args()

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(given.model), options, providers=["CPUExecutionProvider"])
    input_name = session.get_inputs()[0].name
    database = sqlite3.connect(given.work / "floor.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        "CREATE TABLE IF NOT EXISTS results (id INTEGER PRIMARY KEY, file TEXT, verdict TEXT, p REAL)"
    )
    cv2.setNumThreads(1)

    def one(path: Path) -> None:
        data = path.read_bytes()
        temporary, final = given.work / "image.part", given.work / f"{path.stem}.stored"
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, final)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        small = cv2.resize(pixels, (given.size, given.size), interpolation=cv2.INTER_LINEAR)
        tensor = np.ascontiguousarray(small[:, :, ::-1].transpose(2, 0, 1)[None], np.float32) / np.float32(
            255
        )
        [scores] = session.run(None, {input_name: tensor})
        best = int(np.argmax(scores))
        database.execute(
            "INSERT INTO results (file, verdict, p) VALUES (?, ?, ?)", (final.name, str(best), 1.0)
        )

    paths = sorted(given.images.iterdir())
    for path in paths[:3]:
        one(path)
    milliseconds = []
    for path in paths:
        start = time.perf_counter()
        one(path)
        milliseconds.append((time.perf_counter() - start) * 1e3)
    json.dump({"ms": milliseconds}, sys.stdout)


if __name__ == "__main__":
    main()
