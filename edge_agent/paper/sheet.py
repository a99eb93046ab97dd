"""A4 pages of headings, facts, tables and pictures, as the bytes of a PDF.

Rules of this file:
- The letters are HeiseiKakuGo-W5, a Japanese font that PDF readers bring (docs/adr/0018).
- What is given is text, never markup: every sign of it appears as it is.
- The same calls give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Image, LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

FONT = "HeiseiKakuGo-W5"
MARGIN = 15 * mm
WIDTH = A4[0] - 2 * MARGIN
PICTURE_WIDTH, PICTURE_HEIGHT = 110 * mm, 80 * mm
NAME_WIDTH = 40 * mm
LINE = HexColor("#c5ccd6")
SHADE = HexColor("#eef1f5")
SIZES = {"title": 16, "heading": 12, "text": 8.5, "small": 7}
COLORS = {"OK": "#1b5e20", "NG": "#b3151b"}
CELL = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
        ("LEFTPADDING", (0, 0), (-1, -1), 3),
        ("RIGHTPADDING", (0, 0), (-1, -1), 3),
    ]
)
HEAD_SHADE = TableStyle([("BACKGROUND", (0, 0), (-1, 0), SHADE)], parent=CELL)
NAME_SHADE = TableStyle([("BACKGROUND", (0, 0), (0, -1), SHADE)], parent=CELL)


class Sheet:
    """A document under way. `footer` stands on every page, before the page's number."""

    def __init__(self, title: str, footer: str, language: str) -> None:
        registerFont(UnicodeCIDFont(FONT))
        self._title, self._footer, self._language = title, footer, language
        self._styles = {name: _style(name, size) for name, size in SIZES.items()}
        self._parts: list[Flowable] = [self._text(title, "title"), Spacer(1, 3 * mm)]

    def heading(self, text: str) -> None:
        self._parts += [Spacer(1, 4 * mm), self._text(text, "heading"), Spacer(1, 1 * mm)]

    def note(self, text: str) -> None:
        self._parts.append(self._text(text, "text"))

    def verdict(self, text: str, result: str | None) -> None:
        """A line in large letters; coloured beside saying it."""
        self._parts.append(self._text(text, "heading", COLORS.get(result or "")))

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Names and what they are, a line each."""
        rows = [[self._text(name, "text"), self._text(value, "text")] for name, value in facts]
        self._table(rows, (NAME_WIDTH, WIDTH - NAME_WIDTH), NAME_SHADE, heads=0)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], shares: Sequence[float]) -> None:
        """`shares`: of the page's width, one per column. The heads stand on every page."""
        cells = [[self._text(cell, "small") for cell in row] for row in (heads, *rows)]
        self._table(cells, [share * WIDTH for share in shares], HEAD_SHADE, heads=1)

    def picture(self, jpeg: bytes) -> None:
        """As large as it fits into PICTURE_WIDTH × PICTURE_HEIGHT."""
        image = Image(io.BytesIO(jpeg), hAlign="LEFT")
        scale = min(PICTURE_WIDTH / image.imageWidth, PICTURE_HEIGHT / image.imageHeight)
        image.drawWidth, image.drawHeight = image.imageWidth * scale, image.imageHeight * scale
        self._parts += [Spacer(1, 2 * mm), image, Spacer(1, 1 * mm)]

    def to_pdf(self) -> bytes:
        """The finished document; nothing can be added afterwards."""
        target = io.BytesIO()
        document = SimpleDocTemplate(
            target,
            pagesize=A4,
            title=self._title,
            subject=self._footer,
            lang=self._language,
            leftMargin=MARGIN,
            rightMargin=MARGIN,
            topMargin=MARGIN,
            bottomMargin=MARGIN,
            invariant=1,
        )
        document.build(self._parts, onFirstPage=self._foot, onLaterPages=self._foot)
        return target.getvalue()

    def _foot(self, canvas: Canvas, document: Any) -> None:
        canvas.setFont(FONT, SIZES["small"])
        canvas.drawString(MARGIN, MARGIN / 2, self._footer)
        canvas.drawRightString(A4[0] - MARGIN, MARGIN / 2, str(document.page))

    def _text(self, text: str, style: str, color: str | None = None) -> Paragraph:
        shown = escape(text).replace("\n", "<br/>")
        return Paragraph(f'<font color="{color}">{shown}</font>' if color else shown, self._styles[style])

    def _table(
        self, cells: list[list[Paragraph]], widths: Sequence[float], style: TableStyle, *, heads: int
    ) -> None:
        if cells:
            self._parts.append(LongTable(cells, widths, style=style, repeatRows=heads))


def _style(name: str, size: float) -> ParagraphStyle:
    """Lines break between any two Japanese letters, as they are written."""
    return ParagraphStyle(name, fontName=FONT, fontSize=size, leading=size * 1.4, wordWrap="CJK")
