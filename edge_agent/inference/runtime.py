"""Runs a model package's network with onnxruntime, on the CPU.

Rules of this file:
- A network is loaded from bytes whose sha256 the manifest names, never from a path, and only after
  `check_ports` found no data outside the file (onnxruntime would open such paths even so).
- A loaded model has run once and its output decoded: what cannot work is refused when it is
  loaded (BadDefinition), not when the first part lies under the camera.
- One thread per network, no spinning: parallel work comes from more workers.
- `predict` may be called from several threads; they take turns.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from edge_agent.errors import BadDefinition, InferenceFailed, Problem
from edge_agent.inference.decoders import decode
from edge_agent.inference.manifest import Manifest
from edge_agent.inference.onnx_header import read_header
from edge_agent.inference.package import check_ports
from edge_agent.inference.preprocess import Preprocessor
from edge_agent.inference.values import Pixels, Prediction

PROVIDER = "CPUExecutionProvider"
FATAL_ONLY = 4
DIGEST_BYTES = 32


class OnnxModel:
    """A loaded, warm network; see `values.Model`."""

    def __init__(self, manifest: Manifest, session: ort.InferenceSession) -> None:
        self.manifest = manifest
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        flat = len(session.get_inputs()[0].shape) == 2
        self._preprocessor = Preprocessor(manifest.input, flat)
        self._turn = threading.Lock()

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def task(self) -> str:
        return self.manifest.task

    @property
    def sha256(self) -> str:
        return self.manifest.sha256

    def predict(self, pixels: Pixels) -> Prediction:
        """Judges one picture (H×W×3 BGR or H×W gray, uint8); raises InferenceFailed."""
        with self._turn:
            tensor, fit = self._preprocessor.tensor(pixels)
            try:
                values = self._session.run(self._outputs, {self.manifest.input.name: tensor})
            except Exception as error:  # onnxruntime's errors share no base but Exception
                raise InferenceFailed(
                    f"{self.name} {self.version} failed: {_first_line(error)}", code="model-run-failed"
                ) from error
        arrays = {name: np.asarray(value) for name, value in zip(self._outputs, values, strict=True)}
        return decode(arrays, fit, self.manifest)


def load_model(
    folder: Path, manifest: Manifest, threads: int = 1, cache_dir: Path | None = None
) -> OnnxModel:
    """Loads and warms up the network of the package in `folder`.

    `cache_dir` keeps optimised graphs between starts (None: optimise each time). Raises BadDefinition
    when the file is not the one the manifest names, or cannot work on this machine.
    """
    data = (folder / manifest.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise _refused(manifest, "sha256-mismatch", "the network is not the file the manifest names")
    try:
        header = read_header(data)
    except ValueError as error:
        raise _refused(manifest, "not-onnx", f"not a readable ONNX network: {error}") from None
    problems = check_ports(header, manifest)
    if problems:
        raise BadDefinition(f"{manifest.name} has {len(problems)} problem(s)", problems)
    dynamic = any(None in (port.shape or (None,)) for port in header.inputs)
    model = OnnxModel(manifest, _open_session(data, manifest, threads, dynamic, cache_dir))
    _warm_up(model)
    return model


def _warm_up(model: OnnxModel) -> None:
    width, height = model.manifest.input.size_px
    try:
        model.predict(np.full((height, width, 3), 114, np.uint8))
    except InferenceFailed as error:
        raise _refused(model.manifest, error.code_, f"its first run failed: {error.detail}") from error


def _open_session(
    data: bytes, manifest: Manifest, threads: int, dynamic: bool, cache_dir: Path | None
) -> ort.InferenceSession:
    cached = None if cache_dir is None else cache_dir / _cache_name(manifest)
    optimised = None if cached is None else _read_cached(cached)
    if optimised is not None:
        with suppress(Exception):  # a cache never decides whether a network works
            return _session(optimised, _options(threads, dynamic))
    try:
        session = _session(data, _options(threads, dynamic))
    except Exception as error:  # see OnnxModel.predict
        code = "model-opset" if "opset" in str(error).lower() else "model-load-failed"
        message = f"onnxruntime {ort.__version__} refuses it: {_first_line(error)}"
        raise _refused(manifest, code, message) from error
    if cached is not None:
        with suppress(Exception):  # a full disk costs the next start some milliseconds, nothing else
            _write_cached(cached, data, _options(threads, dynamic))
    return session


def _session(data: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    return ort.InferenceSession(data, options, providers=[PROVIDER])


def _options(threads: int, dynamic: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = not dynamic
    options.enable_mem_pattern = not dynamic
    options.log_severity_level = FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _cache_name(manifest: Manifest) -> str:
    return f"{manifest.sha256}-{ort.__version__}-{PROVIDER}-{platform.machine()}.graph"


def _read_cached(path: Path) -> bytes | None:
    """The optimised graph, when its own digest (the first 32 bytes) confirms it."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, graph = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return graph if hashlib.sha256(graph).digest() == digest else None


def _write_cached(path: Path, data: bytes, options: ort.SessionOptions) -> None:
    """Optimises at the level that does not depend on the processor, so the cache survives a new PC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".optimise-") as scratch:
        optimised = Path(scratch) / "graph.onnx"
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimised)
        _session(data, options)
        graph = optimised.read_bytes()
        packed = Path(scratch) / "packed"
        packed.write_bytes(hashlib.sha256(graph).digest() + graph)
        os.replace(packed, path)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _refused(manifest: Manifest, code: str, message: str) -> BadDefinition:
    return BadDefinition(
        f"{manifest.name} {manifest.version}: {message}", [Problem(manifest.file, "", code, message)]
    )


def provider_facts() -> dict[str, Any]:
    """Which runtime judges, for the record."""
    return {"provider": PROVIDER, "onnxruntime": ort.__version__}
