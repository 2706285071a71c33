"""A printable document: a head, paragraphs, facts and tables; nothing in it is a link, a script or a picture of ours.

Text is only text: fpdf2 reads no markup out of it, what cannot be seen is shown by its number, and what has no end is
cut. DejaVu Sans has the letters of most names; GNU Unifont has all others of Unicode's first plane.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from django.conf import settings
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from fontTools.ttLib import TTFont
from fpdf import FPDF
from fpdf.enums import TableBordersLayout
from fpdf.fonts import FontFace
from fpdf.table import Row

from portal import dates
from portal.words import visible_name
from tenants.models import Membership

FONTS = Path(__file__).parent / "fonts"
SANS, SANS_BOLD, EVERYTHING = (
    FONTS / name for name in ("DejaVuSans-2.37.ttf", "DejaVuSans-Bold-2.37.ttf", "unifont-15.0.01.otf")
)
# Nobody reads more on paper; all are in the file for spreadsheets.
MOST_ROWS = 1000
LONGEST_CELL = 200
COLUMN_GAP = 6
# From Hebrew on letters may be joined, stacked or written from the right.
FIRST_TO_SHAPE = "\u0590"
INK, SOFT, LINE, HEAD = (28, 33, 36), (90, 97, 102), (214, 214, 208), (240, 240, 236)


@dataclass(frozen=True)
class Table:
    """`widths` in parts of the page's; `right`: columns of numbers, from 0; `has_total`: the last row is one."""

    columns: Sequence[str]
    widths: Sequence[int]
    rows: Iterable[Sequence[str]]
    right: frozenset[int] = frozenset()
    has_total: bool = False


def shown(text: object) -> str:
    """What of a text is printed."""
    said = str(text)
    return visible_name(said if len(said) <= LONGEST_CELL else f"{said[:LONGEST_CELL]}…")


def made_at(membership: Membership) -> str:
    """For the foot of every page."""
    when = {"at": dates.full(timezone.now()), "who": membership.user}
    return _("Made on %(at)s for %(who)s") % when


@cache
def _letters() -> frozenset[int]:
    with TTFont(SANS, lazy=True) as font:
        return frozenset(font.getBestCmap())


class Sheet(FPDF):
    """A4; `wide` lays it on its side, `is_dense` writes small. `head`: who it is for, `title`: what it is, both on the
    first page."""

    def __init__(self, title: str, head: str, made_at: str, *, wide: bool = False, is_dense: bool = False) -> None:
        super().__init__("landscape" if wide else "portrait", "mm", "A4")
        self.made_at = made_at
        self.text_size, self.line_height = (7.5, 3.8) if is_dense else (8.5, 4.6)
        self.cell_padding = (0.6, 1.0) if is_dense else (0.9, 1.5)
        self.add_font("sans", "", SANS)
        self.add_font("sans", "B", SANS_BOLD)
        self.set_title(shown(title))
        self.set_author(settings.PORTAL_NAME)
        self.set_creator(settings.PORTAL_NAME)
        self.set_producer(settings.PORTAL_NAME)
        self.set_creation_date(datetime.now(UTC))
        self.set_lang(get_language() or "en")
        self.set_margin(15)
        self.set_auto_page_break(True, margin=18)
        self.alias_nb_pages()
        self.add_page()
        self._write(head, 9, SOFT)
        self._write(title, 17, INK, bold=True)
        self.ln(2)

    def footer(self) -> None:
        self.set_y(-13)
        said = self._said(self.made_at)
        self._ink(7.5, SOFT, family=self._family(said))
        self.cell(0, 5, said, align="L")
        self._ink(7.5, SOFT)
        self.set_x(self.l_margin)
        self.cell(0, 5, _("Page %(page)d of %(pages)s") % {"page": self.page_no(), "pages": "{nb}"}, align="R")

    def heading(self, text: str) -> None:
        # Never alone at the foot of a page.
        if self.will_page_break(30):
            self.add_page()
        self.ln(3)
        self._write(text, 12, INK, bold=True)
        self.ln(1)

    def paragraph(self, text: str) -> None:
        self._write(text, 9.5, INK)

    def small(self, text: str) -> None:
        self._write(text, 8, SOFT)

    def label(
        self,
        left: float,
        top: float,
        width: float,
        text: str,
        *,
        size: float,
        align: str = "L",
        colour: tuple[int, int, int] = SOFT,
        bold: bool = False,
    ) -> None:
        """One line at a place of the page, cut to its width."""
        said = self._said(text)
        self._ink(size, colour, "B" if bold else "", self._family(said))
        while len(said) > 1 and self.get_string_width(said) > width - 2 * self.c_margin:
            said = f"{said[:-2]}…"
        self.set_xy(left, top)
        self.cell(width, size * 0.5, said, align=align)

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        self.table_of(Table(("", ""), (3, 7), facts), has_head=False)

    def beside(self, left: tuple[str, Iterable[tuple[str, str]]], right: tuple[str, Iterable[tuple[str, str]]]) -> None:
        """Two headings with their facts, in columns while they fit on the page."""
        if self.will_page_break(60):
            self.add_page()
        first_page, top, margin, half = self.page, self.get_y(), self.l_margin, (self.epw - COLUMN_GAP) / 2
        bottoms = []
        for (heading, facts), start in ((left, margin), (right, margin + half + COLUMN_GAP)):
            self.set_left_margin(start)
            self.set_right_margin(self.w - start - half)
            self.set_xy(start, top if self.page == first_page else self.get_y())
            self.heading(heading)
            self.table_of(Table(("", ""), (5, 6), facts), has_head=False)
            bottoms.append(self.get_y())
        self.set_left_margin(margin)
        self.set_right_margin(margin)
        self.set_xy(margin, max(bottoms))

    def table_of(self, table: Table, *, has_head: bool = True) -> None:
        self._ink(self.text_size, INK)
        self.set_draw_color(*LINE)
        head = FontFace(emphasis="BOLD", color=SOFT, fill_color=HEAD)
        with self.table(
            col_widths=tuple(table.widths),
            text_align=tuple("RIGHT" if place in table.right else "LEFT" for place in range(len(table.columns))),
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            headings_style=head,
            first_row_as_headings=has_head,
            # Of the margins in force, which `beside` moves; else it is the middle of the page.
            align="LEFT",
            line_height=self.line_height,
            padding=self.cell_padding,
        ) as drawn:
            if has_head:
                self._draw(drawn.row(), table.columns)
            for row in table.rows:
                self._draw(drawn.row(), row)
            if table.has_total:
                drawn.rows[-1].style = FontFace(emphasis="BOLD")
        self.ln(2)

    def _draw(self, row: Row, cells: Sequence[str]) -> None:
        for cell in cells:
            said = self._said(cell)
            row.cell(said, style=FontFace(family=self._family(said)))

    def _write(self, text: str, size: float, colour: tuple[int, int, int], *, bold: bool = False) -> None:
        said = self._said(text)
        self._ink(size, colour, "B" if bold else "", self._family(said))
        self.multi_cell(0, size * 0.5, said, align="L", new_x="LMARGIN", new_y="NEXT")

    def _ink(self, size: float, colour: tuple[int, int, int], style: str = "", family: str = "sans") -> None:
        self.set_font(family, style, size)
        self.set_text_color(*colour)

    def _said(self, text: object) -> str:
        """Takes the rules of scripts that need some from the first text on that does."""
        said = shown(text)
        if not self.text_shaping and max(said, default="") >= FIRST_TO_SHAPE:
            self.set_text_shaping(True)
        return said

    def _family(self, said: str) -> str:
        """One font for all of a text: a change of font within it goes wrong in fpdf2 where its lines are broken."""
        if all(ord(sign) in _letters() for sign in said):
            return "sans"
        if "everything" not in self.fonts:
            for style in ("", "B"):
                self.add_font("everything", style, EVERYTHING)
        return "everything"
