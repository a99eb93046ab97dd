"""`calibrate`: micrometres per pixel from a picture of a printed board.

Rules of this file:
- `calibrate IMAGE` is short for `calibrate measure IMAGE`.
- What speaks against a measurement keeps it from being stored until a person insists.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from edge_agent.cli.connection import quoted
from edge_agent.cli.exits import Exit
from edge_agent.cli.options import AsJson, agent, read_file, write_new
from edge_agent.cli.output import emit_facts, emit_findings, emit_json, emit_table
from edge_agent.errors import BadInput

if TYPE_CHECKING:
    from edge_agent.calibration import BoardSpec, CalibrationResult

MM_PER_INCH = 25.4
DAY_S = 86_400


class _MeasureByDefault(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_named = not args or args[0] in self.commands or args[0] == "--help"
        return super().parse_args(ctx, args if is_named else ["measure", *args])


app = typer.Typer(
    cls=_MeasureByDefault,
    help="Micrometres per pixel from a picture of a printed board.",
    no_args_is_help=True,
)

Kind = Annotated[Literal["checkerboard", "aruco", "charuco"], typer.Option(help="What is printed.")]
Columns = Annotated[int, typer.Option(help="Squares from left to right.")]
Rows = Annotated[int, typer.Option(help="Squares from top to bottom.")]
SquareMm = Annotated[float, typer.Option(help="A square's side, as measured on the print.")]
MarkerMm = Annotated[float | None, typer.Option(help="A marker's side.  [default: 0.7 squares]")]
Markers = Annotated[
    Literal["4X4_50", "4X4_100", "4X4_250", "5X5_100", "6X6_250"], typer.Option(help="The marker dictionary.")
]


@app.command()
def measure(
    context: typer.Context,
    image: Annotated[Path | None, typer.Argument(metavar="[IMAGE]", help="A picture of the board.")] = None,
    camera: Annotated[str | None, typer.Option(help="Take the picture with this camera.")] = None,
    kind: Kind = "checkerboard",
    columns: Columns = 10,
    rows: Rows = 7,
    square_mm: SquareMm = 10.0,
    marker_mm: MarkerMm = None,
    dictionary: Markers = "4X4_50",
    name: Annotated[str | None, typer.Option(help="Store it under this name; else it is only shown.")] = None,
    valid_days: Annotated[float, typer.Option(min=0.01, max=3660, help="Days it stays in force.")] = 180,
    accept_warnings: Annotated[
        bool, typer.Option("--accept-warnings", help="Store it in spite of warnings.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Measures a board. Exit 9 when warnings kept the result from being stored."""
    if (image is None) == (camera is None):
        raise BadInput("Give either a picture or --camera.", code="bad-source")
    board = board_of(kind, columns, rows, square_mm, marker_mm, dictionary)
    data = read_file(image) if image else _captured(context, str(camera))
    result = measured(data, board)
    is_stored = name is not None and (accept_warnings or not result.warnings)
    document: dict[str, Any] = {**asdict(result), "name": name, "is_stored": is_stored}
    if name is not None and is_stored:
        document["valid_until"] = _store(context, name, result, board, valid_days)
    if as_json:
        emit_json(document)
    else:
        emit_facts({key: value for key, value in document.items() if key != "warnings"})
        emit_findings(document["warnings"], empty="Nothing speaks against it.")
    return Exit.FINDINGS if name is not None and not is_stored else Exit.DONE


@app.command("board")
def write_board(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new .pdf or .png, to be printed at 100 %.")],
    kind: Kind = "checkerboard",
    columns: Columns = 10,
    rows: Rows = 7,
    square_mm: SquareMm = 10.0,
    marker_mm: MarkerMm = None,
    dictionary: Markers = "4X4_50",
    dpi: Annotated[int, typer.Option(min=50, max=2400, help="Resolution.")] = 600,
    as_json: AsJson = False,
) -> None:
    """Writes a board to print; measure the print, printers are never exact. Needs no agent."""
    board = board_of(kind, columns, rows, square_mm, marker_mm, dictionary)
    write_new(file, drawn(board, dpi, file.suffix.lower()))
    facts = {"file": str(file), "dpi": dpi, **board.model_dump()}
    emit_json(facts) if as_json else emit_facts(facts)


@app.command("list")
def list_calibrations(context: typer.Context, as_json: AsJson = False) -> None:
    """Every calibration in force or expired."""
    with agent(context) as connection:
        document = connection.get("/calibrations")
    if as_json:
        emit_json(document)
        return
    columns = ("name", "um_per_px", "valid_until", "method", "created_at")
    emit_table(columns, document["calibrations"], empty="no calibrations")


def board_of(
    kind: str, columns: int, rows: int, square_mm: float, marker_mm: float | None, dictionary: str
) -> BoardSpec:
    """Raises BadInput (`bad-board`)."""
    from pydantic import ValidationError

    from edge_agent.calibration import BoardSpec

    if kind != "checkerboard" and marker_mm is None:
        marker_mm = 0.7 * square_mm
    stated = {"kind": kind, "columns": columns, "rows": rows, "square_mm": square_mm}
    try:
        return BoardSpec.model_validate(stated | {"marker_mm": marker_mm, "dictionary": dictionary})
    except ValidationError as error:
        faults = "; ".join(f"{'/'.join(map(str, one['loc']))} {one['msg']}" for one in error.errors())
        raise BadInput(f"There is no such board: {faults.strip()}.", code="bad-board") from None


def measured(data: bytes, board: BoardSpec) -> CalibrationResult:
    """Raises BadImage, BadInput (`board-not-found`)."""
    from edge_agent.calibration import calibrate
    from edge_agent.images import decode, probe

    return calibrate(decode(data, probe(data)), board)


def drawn(board: BoardSpec, dpi: int, suffix: str) -> bytes:
    """The board as a file that prints to scale. Raises BadInput (`board-format`, `board-size`)."""
    import io

    from PIL import Image

    from edge_agent.calibration import draw_board

    formats: dict[str, tuple[str, dict[str, Any]]] = {
        ".pdf": ("PDF", {"resolution": dpi}),
        ".png": ("PNG", {"dpi": (dpi, dpi)}),
    }
    if suffix not in formats:
        raise BadInput(f"A board is written as .pdf or .png, not {suffix!r}.", code="board-format")
    name, options = formats[suffix]
    file = io.BytesIO()
    Image.fromarray(draw_board(board, dpi / MM_PER_INCH)).save(file, name, **options)
    return file.getvalue()


def _captured(context: typer.Context, camera: str) -> bytes:
    with agent(context) as connection:
        return bytes(connection.post(f"/cameras/{quoted(camera)}/capture"))


def _store(
    context: typer.Context, name: str, result: CalibrationResult, board: BoardSpec, valid_days: float
) -> str:
    from edge_agent.clock import Clock, to_rfc3339

    facts = asdict(result)
    body = {
        "um_per_px": facts.pop("um_per_px"),
        "valid_until": to_rfc3339(Clock().time() + valid_days * DAY_S),
        "method": board.kind,
        "detail": {"board": board.model_dump(), **facts, "warnings": [one.code for one in result.warnings]},
    }
    with agent(context) as connection:
        return str(connection.send("PUT", f"/calibrations/{quoted(name)}", json=body)["valid_until"])
