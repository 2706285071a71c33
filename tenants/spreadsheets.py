"""Text that a spreadsheet opens without taking it for a formula."""

# It takes what begins with one of these for one.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(FORMULA) else text
