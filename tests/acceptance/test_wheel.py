"""The wheel holds everything the agent needs, and runs where there is no source checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from edge_agent import __version__
from tests.documentation.commands import tree

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"
ASK = (
    "import json, pathlib, edge_agent\n"
    "from edge_agent.store.schema import migrations, schema_dir\n"
    "print(json.dumps([edge_agent.__file__, str(schema_dir()), sorted(migrations())]))\n"
)


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(one) for one in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    python = ("--python", sys.executable, "--no-build-isolation", "--offline")
    run(UV, "--quiet", "build", "--wheel", *python, "--out-dir", folder, ROOT, cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, the libraries borrowed from ours, and no way to the source."""
    place = tmp_path_factory.mktemp("installed")
    run(UV, "--quiet", "venv", "--offline", "--python", sys.executable, place / "venv", cwd=place)
    executable = place / "venv" / Path(sys.executable).relative_to(sys.prefix)
    target = ("--python", executable, "--no-deps", "--offline")
    run(UV, "--quiet", "pip", "install", *target, wheel, cwd=place)
    purelib = run(executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place)
    Path(purelib.strip(), "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return executable


def sources() -> set[str]:
    """Every file of the packages, and the schema where the wheel puts it."""
    packages = ("edge_agent", "central_server", "sync_protocol")
    ours = {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    owners = {"sqlite": "edge_agent", "postgresql": "central_server"}
    schema = {
        f"{owner}/{path.relative_to(ROOT).as_posix()}"
        for kind, owner in owners.items()
        for path in (ROOT / "schema").rglob("*.sql")
        if kind in (path.stem, path.parent.name)
    }
    return ours | schema


def test_it_holds_every_file_and_no_other(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == sources()


@pytest.mark.parametrize(
    "name",
    [
        "edge_agent/py.typed",
        "edge_agent/messages.json",
        "edge_agent/schema/sqlite.sql",
        "edge_agent/schema/migrations/sqlite/0001_create_store.sql",
        "edge_agent/api/static/index.html",
        "edge_agent/console/index.html",
        "edge_agent/demo/bundle/bundle.json",
        "edge_agent/demo/bundle/models/plate-defects-1.0.0/model.onnx",
        "edge_agent/demo/images/expected.json",
        "sync_protocol/py.typed",
    ],
)
def test_it_holds_what_is_no_python(wheel: Path, name: str) -> None:
    assert zipfile.ZipFile(wheel).getinfo(name).file_size >= (0 if name.endswith("py.typed") else 10)


def test_its_metadata_are_those_of_the_project(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = archive.read(name).decode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"Version: {__version__}\n" in metadata
    for requirement in project["dependencies"]:
        assert f"Requires-Dist: {requirement.split('>')[0]}" in metadata


def test_installed_it_runs_and_finds_its_schema(python: Path, tmp_path: Path) -> None:
    module, schema, known = json.loads(run(python, "-c", ASK, cwd=tmp_path))
    assert Path(module).is_relative_to(python.parents[1])
    assert Path(schema) == Path(module).parent / "schema"
    assert known == sorted(path.stem for path in (ROOT / "schema").glob("migrations/sqlite/*.sql"))


def test_installed_its_commands_answer(python: Path, tmp_path: Path) -> None:
    program = python.with_name("edge-agent")
    helped = run(program, "--help", cwd=tmp_path)
    assert all(f"  {name} " in helped for name in tree()["edge-agent"])
    assert __version__ in run(program, "version", cwd=tmp_path)
    command = (program, "--data-dir", tmp_path / "data", "master", "import", "--dry-run", "--json")
    report = json.loads(run(*command, demo_bundle(python), cwd=tmp_path))
    assert report["activated"] == {"plate-defects": "1.0.0"}


def demo_bundle(python: Path) -> Path:
    [found] = (python.parents[1] / "lib").glob("python*/site-packages/edge_agent/demo/bundle")
    return found
