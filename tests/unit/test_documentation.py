"""The documentation says what the code does, points to what exists, and says it in both languages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from central_server.config import Config as CentralConfig
from edge_agent.check.findings import KINDS
from edge_agent.config import Config
from tests.documentation import markdown
from tests.documentation.commands import code_of, tree, unknown_commands
from tests.documentation.finding_codes import finding_codes
from tests.documentation.pages import DOCS, PAGES

ROOT = DOCS.parent
README, README_JA = ROOT / "README.md", ROOT / "README.ja.md"
WRITTEN = sorted(
    [README, README_JA, ROOT / "CHANGELOG.md", *DOCS.rglob("*.md"), *ROOT.glob("packaging/**/*.md")]
)
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_that_of_the_code(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == PAGES[name](), "run `make docs`"


def test_every_setting_is_described_and_used() -> None:
    for package, settings in (("edge_agent", Config), ("central_server", CentralConfig)):
        source = "\n".join(path.read_text("utf-8") for path in (ROOT / package).rglob("*.py"))
        for name, field in settings.model_fields.items():
            assert field.description, name
            assert re.search(rf"(config|settings\(context\)|not self)\.{name}\b", source), (
                f"nothing reads {name}"
            )


def test_every_finding_is_explained_and_nothing_else() -> None:
    rows = [row for table in markdown.tables((DOCS / "findings.md").read_text("utf-8")) for row in table[1:]]
    explained = {row[0].strip("`"): row[1] for row in rows}
    assert explained.keys() == finding_codes().keys()
    assert {code: explained[code] for code in KINDS} == {code: kind.severity for code, kind in KINDS.items()}
    assert all(len(row) == 4 and all(row) for row in rows)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert list(markdown.broken_links(page, ROOT)) == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_named_exist(page: Path) -> None:
    assert list(unknown_commands(code_of(page.read_text("utf-8")), tree())) == []


def test_commands_in_hints_exist() -> None:
    known, wrong = tree(), []
    for path in sorted((ROOT / "edge_agent").rglob("*.py")):
        text = re.sub(r'"\s*\n\s*f?"', "", path.read_text("utf-8"))
        wrong += [f"{path.name}: {name}" for name in unknown_commands(code_of(text), known)]
    for name in ("messages.json", "findings.ja.json"):
        text = json.dumps(json.loads((ROOT / "edge_agent" / name).read_text("utf-8")), ensure_ascii=False)
        wrong += list(unknown_commands(code_of(text), known))
    assert wrong == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [README]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        found = [
            link.partition("#")[0] for link in markdown.links(page.read_text("utf-8")) if ":" not in link
        ]
        waiting += [(page.parent / path).resolve() for path in found if path]
    assert [page for page in WRITTEN if page not in reached and "adr" not in page.parts] == []


def test_both_readmes_have_the_same_shape() -> None:
    english, japanese = README.read_text("utf-8"), README_JA.read_text("utf-8")
    assert [level for level, _ in markdown.headings(english)] == [
        level for level, _ in markdown.headings(japanese)
    ]
    assert [shape(table) for table in markdown.tables(english)] == [
        shape(table) for table in markdown.tables(japanese)
    ]
    assert [code(block) for block in markdown.blocks(english)] == [
        code(block) for block in markdown.blocks(japanese)
    ]
    there = {
        link.replace("-ja.jpg", "-en.jpg") for link in markdown.links(japanese)
    }  # pictures of the console
    assert set(markdown.links(english)) ^ there == {"README.md", "README.ja.md"}


def test_the_japanese_readme_is_japanese() -> None:
    sections = re.split(r"^#+ .*$", markdown.prose(README_JA.read_text("utf-8")), flags=re.MULTILINE)[1:]
    assert all(JAPANESE.search(section) for section in sections if section.strip())


def shape(table: list[list[str]]) -> list[int]:
    return [len(row) for row in table]


def code(block: markdown.Block) -> tuple[str, str]:
    """A block without its comments: those are translated."""
    return block.language, re.sub(r"\s+#.*$", "", block.text, flags=re.MULTILINE)
