"""Logos that people upload are drawn anew: what is kept and shown was written by us, pixel by pixel."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import BinaryIO

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from PIL import Image

# Raster images only: an SVG is a document that can hold scripts.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MOST_BYTES, MOST_PIXELS = 1_000_000, 4_000_000
# Twice of what a page shows, for fine screens.
SHOWN = (480, 96)


def drawn_anew(upload: BinaryIO) -> bytes:
    """A PNG of at most `SHOWN` pixels, without anything but the picture. Raises `ValidationError`."""
    source = upload.read(MOST_BYTES + 1)
    if len(source) > MOST_BYTES:
        raise ValidationError(_("A logo has at most one megabyte."))
    try:
        with Image.open(BytesIO(source), formats=FORMATS) as image:
            # Known from the file's head, before the picture itself takes any memory.
            if image.width * image.height > MOST_PIXELS:
                raise ValidationError(_("A logo has at most four million pixels."))
            picture = image.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValidationError(_("This is no picture that can be read: PNG, JPEG, WebP or GIF.")) from error
    picture.thumbnail(SHOWN)
    clean = Image.new("RGBA", picture.size)
    clean.paste(picture)
    file = BytesIO()
    clean.save(file, "PNG", optimize=True)
    return file.getvalue()


def digest(logo: bytes) -> str:
    return hashlib.sha256(logo).hexdigest()[:32]
