"""What an inference process can be asked besides verdicts.

Rules of this file:
- A request is a kind, JSON arguments in, a JSON object out; the kinds are the keys of `REQUESTS`.
- Paths come from the daemon, which has checked who may name which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge_agent.errors import BadInput
from edge_agent.inference import codes
from edge_agent.inference.install import install_package, verify_package
from edge_agent.inference.wire import Message
from edge_agent.inference.workbench import Workbench


def answer(bench: Workbench, kind: str, arguments: Mapping[str, Any]) -> Message:
    """The answer to one request; raises AgentError."""
    if kind not in REQUESTS:
        raise BadInput(f"there is no request {kind!r}", code="unknown-request")
    return REQUESTS[kind](bench, **arguments)


def verify(bench: Workbench, folder: str) -> Message:
    """Loads the package in `folder` and runs its golden samples: see `install.Verified.document`."""
    return verify_package(Path(folder), bench.threads, bench.cache_dir).document()


def install(
    bench: Workbench, source: str, root: str, name: str | None = None, version: str | None = None
) -> Message:
    """Installs the package at `source` (folder, zip, .onnx) under `root`: see `install.install_package`."""
    verified = install_package(
        Path(source),
        Path(root),
        name=name,
        version=version,
        threads=bench.threads,
        cache_dir=bench.cache_dir,
    )
    return verified.document()


def compile_definition(bench: Workbench, definition: str) -> Message:
    """Compiles a pipeline with the present equipment: {code, version, sha256, steps}. BadDefinition."""
    plan = bench.compile(definition.encode())
    return {
        "code": plan.code,
        "version": plan.version,
        "sha256": plan.sha256,
        "steps": [step.id for step in plan.steps],
    }


def dry_run(
    bench: Workbench,
    *,
    definition: str,
    path: str,
    criteria: Mapping[str, Any],
    scan: Mapping[str, str],
    now: str,
    calibration: Mapping[str, Any] | None = None,
    derived: str | None = None,
) -> Message:
    """Runs a definition on one picture, as a job would: {result, pictures}."""
    message = {
        "path": path,
        "plan_sha256": bench.compile(definition.encode()).sha256,
        "plan": definition,
        "criteria": criteria,
        "scan": scan,
        "calibration": calibration,
        "now": now,
        "derived": derived,
    }
    result, drawing = bench.judge(0, bench.decode_job(message), message)
    return {"result": result, "pictures": drawing.write() if drawing else []}


def read_codes(bench: Workbench, path: str, formats: list[str] | None = None) -> Message:
    """Codes in a picture: {codes: [{format, text, box_px}]}, from top to bottom."""
    found = codes.read_codes(bench.decode_job({"path": path}), formats or codes.FORMATS)
    documents = [{"format": code.format, "text": code.text, "box_px": list(code.box_px)} for code in found]
    return {"codes": documents}


REQUESTS: Mapping[str, Callable[..., Message]] = {
    "verify": verify,
    "install": install,
    "compile": compile_definition,
    "dry-run": dry_run,
    "read-codes": read_codes,
}
