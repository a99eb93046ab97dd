"""Trains the demo's classifier on drawn plates and writes its model package, in under five minutes.

PyTorch is needed here only; neither the product nor its tests use it:

    python3 -m venv plates-venv
    plates-venv/bin/pip install torch==2.13.0 numpy opencv-python-headless==5.0.0.93 \
        zxing-cpp onnx onnxruntime
    plates-venv/bin/python -m examples.demo_plate.train            # from the repository's root

Rules of this file:
- Every picture and every weight follows from SEED; training, held-out and golden plates never share one.
- What is reported is measured on the written ONNX file through onnxruntime, not on the network in PyTorch.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import torch  # type: ignore[import-not-found]
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_agent.demo import BUNDLE
from examples.demo_plate import draw

NAME, VERSION = "plate-defects", "1.0.0"
PACKAGE = BUNDLE / "models" / f"{NAME}-{VERSION}"
SEED = 2026
TRAINING, HELD_OUT, GOLDEN = 0, 1, 2
TRAINING_PLATES, HELD_OUT_PLATES = 2000, 1000
WIDTH_PX, HEIGHT_PX = 160, 120
SCALE, MEAN, STD = 1 / 255, 0.5, 0.25
CHANNELS = (3, 12, 16, 24, 28, 28)
EPOCHS, BATCH = 24, 40
CONFIDENT = 0.8

Tensor = NDArray[np.float32]


def picture(split: int, index: int) -> bytes:
    """The JPEG of plate `index` of a split; classes take turns."""
    rng = np.random.default_rng([SEED, split, index])
    plate = draw.random_plate(rng, draw.CLASSES[index % len(draw.CLASSES)])
    return draw.jpeg(draw.photograph(plate, rng))


def tensor(encoded: bytes) -> Tensor:
    """A JPEG as the network takes it, 3×H×W; the same arithmetic as model.json asks for."""
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError("not an image")
    small = cv2.resize(pixels, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
    planes = small[..., ::-1].transpose(2, 0, 1).astype(np.float32)
    return np.ascontiguousarray((planes * np.float32(SCALE) - np.float32(MEAN)) / np.float32(STD))


def _tensor_of(place: tuple[int, int]) -> Tensor:
    return tensor(picture(*place))


def plates(split: int, count: int) -> tuple[Tensor, NDArray[np.int64]]:
    """The tensors N×3×H×W of a split and their class indices, drawn by two processes."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        drawn = list(pool.map(_tensor_of, [(split, index) for index in range(count)], chunksize=50))
    return np.stack(drawn), np.arange(count) % len(draw.CLASSES)


def network() -> tuple[Any, Any]:
    """Five convolutions, halving the picture four times, and a linear layer on their maxima and means."""
    layers: list[Any] = []
    for index, (before, after) in enumerate(itertools.pairwise(CHANNELS)):
        size, stride, pooled = _shape(index)
        convolution = torch.nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False)
        layers += [convolution, torch.nn.BatchNorm2d(after), torch.nn.ReLU()]
        layers += [torch.nn.MaxPool2d(2)] if pooled else []
    return torch.nn.Sequential(*layers), torch.nn.Linear(2 * CHANNELS[-1], len(draw.CLASSES))


def _shape(index: int) -> tuple[int, int, bool]:
    """Size and stride of convolution `index`, and whether pooling follows."""
    return (5, 2, False) if index == 0 else (3, 1, index < len(CHANNELS) - 2)


def train(inputs: Tensor, labels: NDArray[np.int64]) -> tuple[Any, Any]:
    """Features and head after EPOCHS passes with random mirroring (one-cycle AdamW)."""
    torch.manual_seed(SEED)
    torch.set_num_threads(
        1
    )  # a network this small trains no faster with two, and the same each time with one
    features, head = network()
    features.to(memory_format=torch.channels_last)
    weights = [*features.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, weight_decay=1e-3)
    steps = EPOCHS * len(inputs) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps, pct_start=0.2)
    for epoch in range(EPOCHS):
        losses = []
        for batch in torch.randperm(len(inputs)).split(BATCH):
            seen = _mirrored(torch.from_numpy(inputs[batch.numpy()]))
            answer = _logits(features, head, seen)
            loss = torch.nn.functional.cross_entropy(answer, torch.from_numpy(labels[batch.numpy()]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {statistics.mean(losses):.4f}", flush=True)
    return features.eval(), head.eval()


def _mirrored(batch: Any) -> Any:
    axes = [axis for axis in (2, 3) if torch.rand(()) < 0.5]
    return (batch.flip(axes) if axes else batch).contiguous(memory_format=torch.channels_last)


def _logits(features: Any, head: Any, batch: Any) -> Any:
    maps = features(batch)
    return head(torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], 1))


def onnx_model(features: Any, head: Any) -> onnx.ModelProto:
    """The network as an ONNX graph (opset 17), batch normalisation folded into the convolutions."""
    nodes, constants, flow = [], [], "image"
    for index, (weight, bias) in enumerate(_folded(features)):
        size, stride, pooled = _shape(index)
        names = [f"conv{index}.weight", f"conv{index}.bias"]
        constants += [numpy_helper.from_array(a, n) for a, n in zip((weight, bias), names, strict=True)]
        edge: dict[str, Any] = {"pads": [size // 2] * 4, "strides": [stride] * 2}
        nodes.append(helper.make_node("Conv", [flow, *names], [f"conv{index}"], **edge))
        nodes.append(helper.make_node("Relu", [f"conv{index}"], [flow := f"relu{index}"]))
        if pooled:
            window: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
            nodes.append(helper.make_node("MaxPool", [flow], [flow := f"pool{index}"], **window))
    weights = {"head.weight": head.weight, "head.bias": head.bias}
    constants += [numpy_helper.from_array(w.detach().numpy(), name) for name, w in weights.items()]
    nodes += [
        helper.make_node("GlobalMaxPool", [flow], ["maxima"]),
        helper.make_node("GlobalAveragePool", [flow], ["means"]),
        helper.make_node("Concat", ["maxima", "means"], ["both"], axis=1),
        helper.make_node("Flatten", ["both"], ["flat"]),
        helper.make_node("Gemm", ["flat", *weights], ["logits"], transB=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, HEIGHT_PX, WIDTH_PX])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(draw.CLASSES)])
    graph = helper.make_graph(nodes, NAME, [image], [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def _folded(features: Any) -> Iterator[tuple[Tensor, Tensor]]:
    convolutions = [m for m in features if isinstance(m, torch.nn.Conv2d)]
    norms = [m for m in features if isinstance(m, torch.nn.BatchNorm2d)]
    for convolution, norm in zip(convolutions, norms, strict=True):
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = convolution.weight * gain[:, None, None, None]
        bias = norm.bias - norm.running_mean * gain
        yield weight.detach().numpy(), bias.detach().numpy()


def probabilities(session: onnxruntime.InferenceSession, inputs: Tensor) -> Tensor:
    """N×classes, one picture at a time as the agent does."""
    logits = np.concatenate([np.asarray(session.run(None, {"image": x[None]})[0]) for x in inputs])
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True), np.float32)


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """One thread, as the agent runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def measure(session: onnxruntime.InferenceSession) -> dict[str, Any]:
    """Figures on plates the network was not trained on."""
    inputs, labels = plates(HELD_OUT, HELD_OUT_PLATES)
    seen = probabilities(session, inputs)
    best, sure = seen.argmax(1), seen.max(1) >= CONFIDENT
    right, good = best == labels, labels == 0
    return {
        "n": len(labels),
        "accuracy": float(right.mean()),
        "per_class": {c: float(right[labels == i].mean()) for i, c in enumerate(draw.CLASSES)},
        "review_share": float((~sure).mean()),
        "accuracy_of_the_rest": float(right[sure].mean()),
        "good_called_bad": int((good & (best != 0) & sure).sum()),
        "bad_called_good": int((~good & (best == 0) & sure).sum()),
        "inference_ms_median": _inference_ms(session, inputs[0]),
    }


def _inference_ms(session: onnxruntime.InferenceSession, one: Tensor) -> float:
    times = []
    for _ in range(200):
        start = time.perf_counter()
        session.run(None, {"image": one[None]})
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def write_package(model: bytes) -> None:
    """`model.json`, `model.onnx` and one golden photograph per class, with what this network says of it."""
    (PACKAGE / "golden").mkdir(parents=True, exist_ok=True)
    (PACKAGE / "model.onnx").write_bytes(model)
    golden, session = [], open_session(model)
    for index, label in enumerate(draw.CLASSES):
        encoded = picture(GOLDEN, index)
        (PACKAGE / "golden" / f"{label}.jpg").write_bytes(encoded)
        seen = probabilities(session, tensor(encoded)[None])[0]
        if seen[index] < CONFIDENT:
            raise SystemExit(f"golden sample {label}: {seen}; train again with another seed")
        expected = {"class": label, "confidence": round(float(seen[index]), 4)}
        golden.append({"image": f"golden/{label}.jpg", "expect": expected, "tolerance": 0.02})
    document = json.dumps(_manifest(model, golden), ensure_ascii=False, indent=1)
    (PACKAGE / "model.json").write_text(document + "\n", encoding="utf-8")


def _manifest(model: bytes, golden: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schema": "model/1", "name": NAME, "version": VERSION, "task": "classify",
        "file": "model.onnx", "sha256": hashlib.sha256(model).hexdigest(), "size_bytes": len(model),
        "licence": "Apache-2.0",
        "input": {
            "name": "image", "layout": "NCHW", "dtype": "float32", "size_px": [WIDTH_PX, HEIGHT_PX],
            "colour": "RGB", "resize": "stretch", "interpolation": "area",
            "scale": SCALE, "mean": [MEAN] * 3, "std": [STD] * 3,
        },
        "output": {"decoder": "classify", "activation": "softmax", "classes": list(draw.CLASSES)},
        "golden": golden,
    }  # fmt: skip


def main() -> None:
    start = time.perf_counter()
    inputs, labels = plates(TRAINING, TRAINING_PLATES)
    drawn, drawn_cpu = time.perf_counter(), time.process_time()
    features, head = train(inputs, labels)
    trained, trained_cpu = time.perf_counter(), time.process_time()
    model = onnx_model(features, head).SerializeToString()
    write_package(model)
    figures = {
        "parameters": sum(weight.numel() for weight in [*features.parameters(), *head.parameters()]),
        "onnx_bytes": len(model),
        "drawing_s": round(drawn - start, 1),
        "training_s": round(trained - drawn, 1),
        "training_cpu_s": round(trained_cpu - drawn_cpu, 1),
        "held_out": measure(open_session(model)),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
