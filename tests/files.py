"""Files for the tests of uploads, made byte by byte or by Pillow: honest ones and others."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

from PIL import ExifTags, Image

HTML = b"<!doctype html><html><script>alert(1)</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
SECRET_PLACE = "43 Elm Street"  # what a phone might note beside the coordinates


def drawing(size: tuple[int, int] = (640, 480), mode: str = "RGB") -> Image.Image:
    """Left red, right blue, so that turning it shows."""
    image = Image.new("RGB", size, (200, 30, 30))
    image.paste((30, 30, 200), (size[0] // 2, 0, *size))
    return image.convert(mode)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    kept = io.BytesIO()
    image.save(kept, form, **options)
    return kept.getvalue()


def jpeg(size: tuple[int, int] = (640, 480), **options: Any) -> bytes:
    return encoded(drawing(size), "JPEG", **options)


def png(size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: Any) -> bytes:
    return encoded(drawing(size, mode), "PNG", **options)


def webp(size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    return encoded(drawing(size), "WEBP", **options)


def photo(size: tuple[int, int] = (640, 480)) -> bytes:
    """As a phone held upright makes one: lying on its side, with place and comment."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.ImageDescription] = SECRET_PLACE
    exif[ExifTags.Base.GPSInfo] = {1: "N", 2: (43.0, 39.0, 40.0), 3: "W", 4: (70.0, 15.0, 18.0)}
    return jpeg(size, exif=exif, comment=SECRET_PLACE.encode())


def pdf(content: bytes = b"BT (Letter) Tj ET", catalog: bytes = b"") -> bytes:
    parts = [
        b"<</Type/Catalog/Pages 2 0 R" + catalog + b">>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
    ]
    text, places = b"%PDF-1.7\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(text))
        text += b"%d 0 obj%s endobj\n" % (number, part)
    table = len(text)
    text += b"xref\n0 5\n0000000000 65535 f \n"
    text += b"".join(b"%010d 00000 n \n" % place for place in places)
    return text + b"trailer<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % table


def archive() -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as made:
        made.writestr("Main.class", b"\xca\xfe\xba\xbe")
    return kept.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A few bytes that say they are a picture of any size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg_of_size(width: int, height: int) -> bytes:
    """A small picture whose head says another size."""
    data = bytearray(jpeg((16, 16)))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_of_size(width: int, height: int) -> bytes:
    """The same in the extended form of WebP."""
    sizes = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + sizes + webp()[12:]
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
