"""The service definitions start what exists, with the privileges they need and no more."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edge_agent.config import Config
from tests.documentation.commands import tree

PACKAGING = Path(__file__).parents[2] / "packaging"
UNIT = PACKAGING / "systemd" / "edge-agent.service"
CENTRAL = PACKAGING / "systemd" / "central-server.service"
HARDENING = {
    "AmbientCapabilities": "",
    "CapabilityBoundingSet": "",
    "DevicePolicy": "closed",
    "MemoryDenyWriteExecute": "yes",
    "NoNewPrivileges": "yes",
    "PrivateTmp": "yes",
    "ProtectHome": "yes",
    "ProtectKernelModules": "yes",
    "ProtectSystem": "strict",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": "@system-service",
    "UMask": "0077",
}


@pytest.fixture(scope="module")
def service() -> dict[str, str]:
    return settings_of(UNIT)


@pytest.fixture(scope="module")
def central() -> dict[str, str]:
    return settings_of(CENTRAL)


def settings_of(unit: Path) -> dict[str, str]:
    """The [Service] section, every key set once."""
    text = unit.read_text("utf-8").partition("[Service]")[2].partition("[Install]")[0]
    lines = [line.partition("=") for line in text.splitlines() if line and not line.startswith("#")]
    found = {key: value for key, _, value in lines}
    assert len(found) == len(lines)
    return found


def settings_in(names: list[str]) -> set[str]:
    return {name.removeprefix("EDGE_AGENT_").lower() for name in names if name.startswith("EDGE_AGENT_")}


def test_the_unit_starts_a_command_there_is(service: dict[str, str]) -> None:
    program, command = service["ExecStart"].split()
    assert (Path(program).name, command) == ("edge-agent", "run")
    assert command in tree()["edge-agent"]
    assert settings_in(re.findall(r"EDGE_AGENT_\w+", service["Environment"])) <= Config.model_fields.keys()


def test_the_unit_keeps_its_data_where_it_may_write(service: dict[str, str]) -> None:
    name, _, directory = service["Environment"].partition("=")
    assert (name, directory) == ("EDGE_AGENT_DATA_DIR", f"/var/lib/{service['StateDirectory']}")
    assert service["StateDirectoryMode"] == "0700"


def test_the_unit_gives_no_privileges_away(service: dict[str, str]) -> None:
    assert {key: service.get(key) for key in HARDENING} == HARDENING
    assert "PrivateDevices" not in service, "it would hide the cameras"
    assert service["DeviceAllow"].startswith("char-video4linux")


def test_the_unit_is_supervised(service: dict[str, str]) -> None:
    assert (service["Type"], service["Restart"], service["OOMPolicy"]) == ("notify", "on-failure", "continue")
    assert service["WatchdogSec"] == "60s"
    assert service["MemoryMax"]


def test_the_user_of_the_unit_is_made(service: dict[str, str]) -> None:
    made = (PACKAGING / "systemd" / "imageflow-edge-agent.conf").read_text("utf-8")
    assert re.search(rf"^u {service['User']} - ", made, re.MULTILINE)


def test_the_central_unit_starts_a_command_there_is(central: dict[str, str]) -> None:
    program, command = central["ExecStart"].split()
    assert (Path(program).name, command) == ("central-server", "run")
    assert command in tree()["central-server"]
    name, _, directory = central["Environment"].partition("=")
    assert (name, directory) == ("CENTRAL_SERVER_DATA_DIR", f"/var/lib/{central['StateDirectory']}")
    assert (central["StateDirectoryMode"], central["Type"], central["Restart"]) == (
        "0700",
        "notify",
        "on-failure",
    )


def test_the_central_unit_gives_no_privileges_away(central: dict[str, str]) -> None:
    wanted = {key: value for key, value in HARDENING.items() if key != "MemoryDenyWriteExecute"}
    assert {key: central.get(key) for key in wanted} == wanted
    made = (PACKAGING / "systemd" / "imageflow-central-server.conf").read_text("utf-8")
    assert re.search(rf"^u {central['User']} - ", made, re.MULTILINE)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
@pytest.mark.parametrize("unit", [UNIT, CENTRAL], ids=lambda unit: unit.stem)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    program = shutil.which("true") or "/bin/true"
    text = re.sub(r"/opt/[a-z-]+/bin/[a-z-]+", program, unit.read_text("utf-8"))
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"^(User|Group|SupplementaryGroups)=.*\n", "", text, flags=re.MULTILINE), "utf-8")
    looked = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (looked.returncode, looked.stderr) == (0, "")


def test_the_windows_service_starts_a_command_there_is() -> None:
    service = ElementTree.parse(PACKAGING / "windows" / "edge-agent.xml").getroot()
    assert (service.findtext("executable") or "").endswith("edge-agent.exe")
    assert service.findtext("arguments") in tree()["edge-agent"]
    assert (
        settings_in([found.attrib["name"] for found in service.findall("env")]) <= Config.model_fields.keys()
    )
