"""`demo`: the real agent inspects the bundled sample photographs, from an empty directory to verdicts, and
synchronises with a real central server.

Rules of this file:
- A directory is only ever emptied if the marker says that a demo made it, and then only of what it made.
- The agent is a process of its own, as it will be in the factory; it ends with the demo.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_agent.cli import demo_central
from edge_agent.cli.connection import Connection, connect
from edge_agent.cli.demo_process import running
from edge_agent.cli.demo_words import WORDS
from edge_agent.cli.exits import Exit
from edge_agent.cli.language import spoken
from edge_agent.cli.options import AsJson, read_settings
from edge_agent.cli.output import emit_json, emit_table
from edge_agent.cli.packages import as_package
from edge_agent.cli.process import ended_by_sigterm
from edge_agent.cli.progress import bar
from edge_agent.errors import Conflict

MARKER = ".edge-agent-demo"
MADE = ("data", "hot-folder", "central")
FOLDER = "demo"
GIVE_UP_S = 180.0
LOOK_S = 0.3
COLUMNS = ("image", "target", "item", "verdict", "expected", "confidence", "ms")


@dataclass(frozen=True, slots=True)
class Sample:
    """One photograph and the verdict it must get."""

    file: str
    serial: str
    item: str
    expected: str


def demo(
    context: typer.Context,
    data_dir: Annotated[
        Path, typer.Option(help="Where to make it; an earlier demo there is replaced.")
    ] = Path("demo-data"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 0,
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="End after the last step; exit 1 unless all held.",
        ),
    ] = False,
    lang: Annotated[str, typer.Option(help="ja or en; if not given, what the terminal is set to.")] = "",
    as_json: AsJson = False,
) -> int:
    """Starts the agent on a fresh directory, has it inspect the sample photographs, and synchronises it with a
    central server of its own: up, down, and across a cut cable."""
    words = WORDS[spoken(wish=lang)]
    place = data_dir.expanduser().absolute()
    prepare(place)
    pattern, samples = expected_verdicts()
    with ended_by_sigterm(), running_agent(place / "data", port) as url:
        say(words["started"].format(url=url), as_json)
        with connect(read_settings(place / "data")) as agent:
            say(words["importing"], as_json)
            import_masters(agent)
            add_folder(agent, place / "hot-folder", pattern)
            say(words["dropping"].format(count=len(samples), folder=place / "hot-folder"), as_json)
            drop(samples, place / "hot-folder")
            rows = verdicts(agent, samples)
            wrong = [row for row in rows if row["verdict"] != row["expected"]]
            if not as_json:
                show(rows, wrong, words)
            steps = with_central(agent, place, words, as_json=as_json)
        if as_json:
            emit_json({"url": url, "images": rows, "as_expected": not wrong, "central": steps})
        if not once:
            say(words["open"].format(url=url), as_json)
            say(words["serving"], as_json)
            wait_for_end(url)
    failed = [one["step"] for one in steps if not one["held"]]
    if failed:
        say(words["failed"].format(steps=", ".join(failed)), as_json)
    return Exit.INTERNAL if wrong or failed else Exit.DONE


def say(text: str, as_json: bool) -> None:
    print(text, file=sys.stderr if as_json else sys.stdout, flush=True)


# ── the directory ───────────────────────────────────────────────────────────────────────────────────────


def prepare(place: Path) -> None:
    """Makes `place` an empty demo directory. Raises Conflict (`demo-dir-taken`), Busy (`already-running`)."""
    from edge_agent.lock import already_running, is_running

    if (place.exists() and any(place.iterdir()) if place.is_dir() else place.exists()) and not is_ours(place):
        raise Conflict(
            f"{place} holds something that is not a demo.",
            code="demo-dir-taken",
            hint="Name another directory with --data-dir; nothing in this one was touched.",
        )
    if is_running(place / "data"):
        raise already_running(place / "data")
    place.mkdir(parents=True, exist_ok=True)
    (place / MARKER).write_text("Made by `edge-agent demo`, which may empty it again.\n", "utf-8")
    for name in MADE:
        path = place / name
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
    (place / "hot-folder").mkdir()


def is_ours(place: Path) -> bool:
    """Whether a demo made this directory."""
    return (place / MARKER).is_file() and not (place / MARKER).is_symlink()


# ── the agent ───────────────────────────────────────────────────────────────────────────────────────────


def running_agent(data_dir: Path, port: int) -> AbstractContextManager[str]:
    """The agent as a process of its own; its URL. Raises Unavailable (`demo-not-started`)."""
    command = [sys.executable, "-m", "edge_agent.cli", "--data-dir", str(data_dir)]
    command += ["run", "--port", str(port), "--json"]
    return running(command, data_dir.parent / "agent.log", "agent")


def import_masters(agent: Connection) -> None:
    from edge_agent.demo import BUNDLE

    with as_package(BUNDLE) as package:
        headers = {"Content-Type": package.content_type}
        agent.post("/masters/import", content=package.content, headers=headers, answer_s=None)


def add_folder(agent: Connection, folder: Path, pattern: str) -> None:
    body = {
        "path": str(folder),
        "product": "DEMO-PLATE",
        "pattern": pattern,
        "session": "auto",
        "settle_s": 0.2,
    }
    agent.send("PUT", f"/folders/{FOLDER}", json=body)


# ── the photographs ─────────────────────────────────────────────────────────────────────────────────────


def expected_verdicts() -> tuple[str, list[Sample]]:
    """The pattern of the file names, and what must come out."""
    from edge_agent.demo import EXPECTED

    document = json.loads(EXPECTED.read_text("utf-8"))
    samples = [
        Sample(one["file"], one["serial"], one["item_code"], one["expected"]) for one in document["images"]
    ]
    return document["pattern"], samples


def drop(samples: Sequence[Sample], folder: Path) -> None:
    from edge_agent.demo import IMAGES

    for sample in samples:
        shutil.copyfile(IMAGES / sample.file, folder / sample.file)


def verdicts(agent: Connection, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """A row for every sample, in their order; those without a verdict after a while have none."""
    import time

    from edge_agent.clock import Clock

    clock, wanted = Clock(), {sample.file for sample in samples}
    until, found, known = clock.monotonic() + GIVE_UP_S, 0, dict[str, dict[str, Any]]()
    with bar("Inspecting") as report:
        while len(known) < len(samples) and clock.monotonic() < until:
            known = {name: one for name, one in results(agent).items() if name in wanted}
            if len(known) > found:
                found, until = len(known), clock.monotonic() + GIVE_UP_S
            report(f"{len(known)} verdicts", len(known), len(samples))
            time.sleep(LOOK_S)
    return [_row(sample, known.get(sample.file, {})) for sample in samples]


def results(agent: Connection) -> dict[str, dict[str, Any]]:
    """File name → the AI's result on it, of every image that has one."""
    found: dict[str, dict[str, Any]] = {}
    for session in agent.get("/sessions", limit=500)["sessions"]:
        trace = agent.get(f"/sessions/{session['id']}/trace")
        names = {image["id"]: image["origin"] for image in trace["images"]}
        found |= {names[result["image_id"]]: result for result in trace["ai_results"]}
    return found


def _row(sample: Sample, result: Mapping[str, Any]) -> dict[str, Any]:
    seconds = result.get("processing_time")
    return {
        "image": sample.file,
        "target": sample.serial,
        "item": sample.item,
        "verdict": result.get("overall_result"),
        "expected": sample.expected,
        "confidence": result.get("confidence"),
        "ms": None if seconds is None else round(seconds * 1000, 1),
    }


def show(
    rows: Sequence[Mapping[str, Any]], wrong: Sequence[Mapping[str, Any]], words: Mapping[str, str]
) -> None:
    """The table, and what differs."""
    emit_table(COLUMNS, rows)
    print(words["matching" if not wrong else "differing"].format(count=len(rows), wrong=len(wrong)))
    if wrong:
        emit_table(COLUMNS, wrong)


# ── the central server ──────────────────────────────────────────────────────────────────────────────────


def with_central(
    agent: Connection, place: Path, words: Mapping[str, str], *, as_json: bool
) -> list[dict[str, Any]]:
    """The second half, step by step; nothing where its packages are missing."""
    from edge_agent.clock import Clock

    if not demo_central.is_possible():
        say(words["no_central"], as_json)
        return []

    def judge(files: Sequence[tuple[str, str]]) -> dict[str, str]:
        wanted = [Sample(name, name.split("_")[0], "", "") for name, _ in files]
        for name, sample in files:
            (place / "hot-folder" / name).write_bytes(demo_central.another(IMAGES / sample, name))
        return {row["image"]: str(row["verdict"]) for row in verdicts(agent, wanted)}

    from edge_agent.demo import IMAGES
    from edge_agent.listening import held_ports

    with demo_central.central_folder(place / "central") as folder, held_ports(1) as (port,):
        return demo_central.Show(
            agent=agent,
            centre=demo_central.Centre(folder, port),
            say=lambda key, **figures: say(words[key].format(**figures), as_json),
            judge=judge,
            clock=Clock(),
        ).run()


def wait_for_end(url: str) -> None:
    """Until Ctrl-C, which is how a demo ends, or until the agent has gone."""
    import threading

    import httpx

    from edge_agent.cli.connection import open_client

    pause = threading.Event()
    with open_client(url) as client, suppress(httpx.HTTPError, KeyboardInterrupt):
        while not pause.wait(1.0):
            client.get("/health/live")
