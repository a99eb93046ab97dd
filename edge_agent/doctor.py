"""Is this machine fit for the agent? Asked before the daemon runs, or while it does.

Rules of this file:
- Never raises and changes nothing that stays: a probe that fails is a finding, and the next one runs.
- Native libraries are tried in a child process: one that crashes on this machine must not take the doctor
  along, and looking must not cost the daemon their memory.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edge_agent import health
from edge_agent.clock import Clock
from edge_agent.config import Config, load_config
from edge_agent.lock import holder_pid, is_running
from edge_agent.models import Finding, Severity
from edge_agent.store.database import has_wal_reset_bug, library_version

LIBRARIES = (
    "argon2-cffi",
    "fastapi",
    "httpx",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pydantic",
    "sqlite-utils",
    "uvicorn",
    "watchdog",
    "zxing-cpp",
)
FSYNC_SAMPLES = 5
SLOW_FSYNC_MS = 50.0
CHILD_TIMEOUT_S = 60.0
PROBE = """
import json
facts = {}
import numpy, cv2
facts["opencv"] = cv2.__version__
import onnxruntime
facts["onnxruntime"] = onnxruntime.__version__
facts["providers"] = onnxruntime.get_available_providers()
print(json.dumps(facts))
"""

Facts = dict[str, Any]
Probe = Callable[[], tuple[Facts, list[Finding]]]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`facts` is JSON-able: what a technician sends along; no secret is in it."""

    facts: Mapping[str, Any]
    findings: tuple[Finding, ...]


def diagnose(data_dir: Path | None, clock: Clock) -> Diagnosis:
    """Looks at everything; never raises. `data_dir` None: the configured or the platform's one."""
    facts: Facts = {}
    found: list[Finding] = []
    config: Config | None = None
    try:
        config = load_config(data_dir)
    except Exception as error:  # pydantic, TOML, an unreadable file: whatever it is, it is the finding
        found.append(bad_config(error))
    probes: list[Probe] = [machine, libraries, sqlite, native]
    if config is not None:
        probes += directory_probes(config, clock)
    for probe in probes:
        try:
            more_facts, more_findings = probe()
        except Exception as error:  # the promise: never raises
            more_facts, more_findings = {}, [broken_probe(probe, error)]
        facts.update(more_facts)
        found += more_findings
    return Diagnosis(facts, tuple(found))


def directory_probes(config: Config, clock: Clock) -> list[Probe]:
    return [
        lambda: directory(config.data_dir),
        lambda: disk(config.data_dir, clock),
        lambda: port(config),
    ]


# ── this machine ────────────────────────────────────────────────────────────────────────────────────────


def machine() -> tuple[Facts, list[Finding]]:
    facts = {
        "python": platform.python_version(),
        "os": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }
    return facts, []


def libraries() -> tuple[Facts, list[Finding]]:
    """Versions as installed, without importing anything."""
    found: list[Finding] = []
    versions: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
            found.append(missing_library(name))
    try:
        ocr: str | None = metadata.version("rapidocr")
    except metadata.PackageNotFoundError:
        ocr = None
        found.append(missing_ocr())
    return {"libraries": versions, "ocr": ocr}, found


def sqlite() -> tuple[Facts, list[Finding]]:
    version = library_version()
    facts = {"sqlite": ".".join(map(str, version)), "sqlite_wal_reset_bug": has_wal_reset_bug(version)}
    return facts, [*health.findings(health.Facts(now_s=0.0, sqlite_version=version))]


def native() -> tuple[Facts, list[Finding]]:
    """Whether OpenCV and onnxruntime load on this processor, tried in a child process."""
    child = run_child(PROBE)
    if isinstance(child, str):
        return {"inference": None}, [
            Finding(
                "inference-not-loading",
                Severity.ERROR,
                "inference",
                f"The libraries that judge images do not load: {child}",
                "Install the agent again; on an old processor, ask for a build that fits it.",
            )
        ]
    found = []
    if "CPUExecutionProvider" not in child["providers"]:
        found.append(
            Finding(
                "no-cpu-provider",
                Severity.ERROR,
                "inference",
                "onnxruntime has no CPU provider.",
                "Install the plain `onnxruntime` package.",
            )
        )
    return {"inference": child}, found


def run_child(code: str) -> dict[str, Any] | str:
    """What the code printed as JSON, or a sentence saying how it ended."""
    try:
        child = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=CHILD_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{error}"
    if child.returncode:
        last = child.stderr.strip().splitlines()[-1:] or ["no message"]
        return f"exit status {child.returncode}, {last[0]}"
    return dict(json.loads(child.stdout))


# ── the data directory ──────────────────────────────────────────────────────────────────────────────────


def directory(data_dir: Path) -> tuple[Facts, list[Finding]]:
    """Where it lies, who may read it, and who runs on it."""
    exists = data_dir.is_dir()
    running = exists and is_running(data_dir)
    file_system = health.file_system_of(data_dir)
    facts = {
        "data_dir": str(data_dir),
        "data_dir_exists": exists,
        "running_pid": holder_pid(data_dir) if running else None,
        "file_system": file_system,
    }
    place = health.Facts(
        now_s=0.0,
        sqlite_version=(999, 0, 0),
        file_system=file_system,
        data_dir_mode=health.data_dir_mode(data_dir) if exists else None,
    )
    return facts, health.findings(place)


def disk(data_dir: Path, clock: Clock) -> tuple[Facts, list[Finding]]:
    """Free space and what one durable write costs, in the data directory or where it would be made."""
    place = next(path for path in (data_dir, *data_dir.parents) if path.is_dir())
    usage = shutil.disk_usage(place)
    facts: Facts = {"disk_total_bytes": usage.total, "disk_free_bytes": usage.free}
    full = health.Facts(
        now_s=0.0,
        sqlite_version=(999, 0, 0),
        disk_total_bytes=usage.total,
        disk_used_bytes=usage.total - usage.free,
    )
    found = health.findings(full)
    try:
        facts["fsync_ms"] = round(fsync_ms(place, clock), 2)
    except OSError as error:
        found.append(not_writable(place, error))
    else:
        found += [slow_disk(facts["fsync_ms"])] if facts["fsync_ms"] > SLOW_FSYNC_MS else []
    return facts, found


def fsync_ms(place: Path, clock: Clock) -> float:
    """Median of a few 4 KiB writes made durable, milliseconds. Raises OSError; leaves nothing."""
    probe = place / f".doctor-{clock.new_id()}"
    samples = []
    try:
        with probe.open("xb", buffering=0) as file:
            for _ in range(FSYNC_SAMPLES):
                started = clock.monotonic()
                file.write(bytes(4096))
                os.fsync(file.fileno())
                samples.append(clock.monotonic() - started)
    finally:
        probe.unlink(missing_ok=True)
    return statistics.median(samples) * 1000


def port(config: Config) -> tuple[Facts, list[Finding]]:
    """Whether the daemon could listen; while it runs on this data directory, it does."""
    facts = {"host": config.host, "port": config.port}
    if config.data_dir.is_dir() and is_running(config.data_dir):
        return facts, []
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family) as probe:
        if os.name != "nt":  # there it would let two programs share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            return facts, [port_taken(config, error)]
    return facts, []


# ── findings ────────────────────────────────────────────────────────────────────────────────────────────


def bad_config(error: Exception) -> Finding:
    return Finding(
        "config-invalid",
        Severity.ERROR,
        "config.toml",
        f"The settings cannot be used: {error}",
        "Correct the settings named; docs/configuration.md lists them all.",
    )


def broken_probe(probe: Probe, error: Exception) -> Finding:
    name = getattr(probe, "__name__", "probe")
    return Finding(
        "probe-failed",
        Severity.WARNING,
        name,
        f"This could not be looked at: {error!r}",
        "Send this report to the technician.",
    )


def missing_library(name: str) -> Finding:
    return Finding(
        "library-missing",
        Severity.ERROR,
        name,
        "A library the agent needs is not installed.",
        "Install the agent again with its requirements.",
    )


def missing_ocr() -> Finding:
    return Finding(
        "ocr-missing",
        Severity.INFO,
        "rapidocr",
        "Pipelines that read text (`text.read`) cannot run.",
        "If you need them, install the agent with its `ocr` extra.",
    )


def not_writable(place: Path, error: OSError) -> Finding:
    return Finding(
        "data-dir-read-only",
        Severity.ERROR,
        str(place),
        f"It cannot be written: {error.strerror}.",
        "Let the agent's user write to the data directory, and see that the disk is not full.",
    )


def slow_disk(milliseconds: float) -> Finding:
    return Finding(
        "disk-slow",
        Severity.WARNING,
        "data directory",
        f"One durable write takes {milliseconds:.0f} ms; every inspection needs about three.",
        "Put the data directory on an SSD, not on an SD card or a USB stick.",
    )


def port_taken(config: Config, error: OSError) -> Finding:
    return Finding(
        "port-taken",
        Severity.ERROR,
        f"{config.host}:{config.port}",
        f"The agent cannot listen there: {error.strerror}.",
        "Stop the program that uses the port, or set another `port` in config.toml.",
    )
