"""Reports as files: a page for a browser, and a PDF of plain lines that needs no library."""

from __future__ import annotations

import html
import zlib
from collections.abc import Iterable

LINES_OF_A_PAGE = 60
A4 = (595, 842)
FONT_SIZE, LINE_HEIGHT, MARGIN = 9, 12, 50

Table = tuple[str, list[str], list[list[str]]]


def html_page(title: str, tables: Iterable[Table]) -> bytes:
    """`tables`: each with its title, its headings and its rows."""
    parts = [f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title></head>"]
    parts.append(f"<body><h1>{html.escape(title)}</h1>")
    for heading, names, rows in tables:
        parts.append(f"<h2>{html.escape(heading)}</h2><table><thead>{_row(names, 'th')}</thead><tbody>")
        parts += [_row(row, "td") for row in rows]
        parts.append("</tbody></table>")
    return "".join([*parts, "</body></html>"]).encode()


def _row(cells: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def pdf(title: str, tables: Iterable[Table]) -> bytes:
    """What is not in Latin-1 becomes a question mark: the font that every reader has knows no more."""
    lines = [title, ""]
    for heading, names, rows in tables:
        lines += [heading, " | ".join(names), *(" | ".join(row) for row in rows), ""]
    pages = [lines[start : start + LINES_OF_A_PAGE] for start in range(0, len(lines), LINES_OF_A_PAGE)]
    return _file(pages)


def _file(pages: list[list[str]]) -> bytes:
    """Objects 1 to 3 are the catalogue, the list of pages and the font; then each page and its content."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, lines in enumerate(pages):
        content = zlib.compress(_content(lines))
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {A4[0]} {A4[1]}] /Contents {5 + 2 * number} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(content), content))
    written, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(written))
    return written + head + table + trailer


def _content(lines: list[str]) -> bytes:
    begin = f"BT /F1 {FONT_SIZE} Tf {LINE_HEIGHT} TL {MARGIN} {A4[1] - MARGIN} Td\n".encode()
    shown = [b"(%b) Tj T*\n" % _escaped(line) for line in lines]
    return b"".join([begin, *shown, b"ET\n"])


def _escaped(line: str) -> bytes:
    raw = line.encode("cp1252", "replace")
    return raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
