"""Pictures are decoded and encoded anew, within bounds that are checked before decoding.

Of the original only the visible picture remains: upright, in sRGB, without the place and time it
was taken, without a maker's notes, comments and previews. One picture is worked on at a time in
each process, so the memory of a decoded picture is taken once, however many arrive.
"""

from __future__ import annotations

import contextlib
import io
import struct
import threading
import warnings
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from PIL import Image, ImageCms, JpegImagePlugin

from clinic.uploads.refusals import UploadRefused

JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"
FORMATS = {JPEG: "JPEG", PNG: "PNG", WEBP: "WEBP"}

# What each format takes to decode and encode so many: 200 to 300 MiB. A scanned page at 400 dots
# per inch has 15 million.
MOST_PIXELS = {JPEG: 25_000_000, PNG: 17_000_000, WEBP: 17_000_000}
# Phones' cameras have up to 50 million pixels. So large a JPEG is decoded at half its width and
# height, which a decoder can do without ever holding the whole; the other formats cannot.
MOST_PIXELS_HALVED = 52_000_000
# A progressive JPEG is gone through once for each scan; programs write about ten.
MOST_SCANS = 40
THUMBNAIL_SIDE = 320
LARGEST_PROFILE = 1024 * 1024  # bytes of a colour profile

SAVE: dict[str, dict[str, Any]] = {
    JPEG: {"quality": 90},
    PNG: {},
    WEBP: {"quality": 90, "method": 2},
}
MODES = {JPEG: {"L", "RGB"}, PNG: {"1", "L", "LA", "P", "RGB", "RGBA"}, WEBP: {"RGB", "RGBA"}}
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Picture:
    data: bytes
    width: int
    height: int
    thumbnail: bytes


def anew(data: bytes, content_type: str) -> Picture:
    """The picture in ``data`` (of the type its first bytes say), encoded anew."""
    with _one_at_a_time:
        try:
            return _anew(data, content_type)
        except UploadRefused:
            raise
        # On bytes made to hurt, decoders raise whatever comes to them.
        except Exception as error:
            raise UploadRefused(
                _("This photo is damaged and cannot be opened. Take it again, or choose another.")
            ) from error


def _anew(data: bytes, content_type: str) -> Picture:
    image = _open(data, content_type)
    image.load()
    image = _upright(image)
    image = _in_srgb(image)
    image = _in_mode(image, content_type)
    # Savers copy comments, profiles and the like from here; only transparency is of the picture.
    image.info = {key: image.info[key] for key in ("transparency",) if key in image.info}
    kept = io.BytesIO()
    image.save(kept, FORMATS[content_type], **SAVE[content_type])
    return Picture(kept.getvalue(), image.width, image.height, _thumbnail(image))


def _open(data: bytes, content_type: str) -> Image.Image:
    """Opened but not decoded; refuses what would be too large decoded."""
    most = MOST_PIXELS[content_type]
    if content_type == JPEG:
        # Not by Image.open: it makes another class of photos that hold several pictures.
        jpeg = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        is_progressive = bool(jpeg.info.get("progressive"))
        _refuse_pixels(jpeg.size, most if is_progressive else MOST_PIXELS_HALVED)
        if is_progressive and data.count(b"\xff\xda") > MOST_SCANS:
            raise _too_large()
        if jpeg.width * jpeg.height > most:
            jpeg.draft(None, (jpeg.width // 2, jpeg.height // 2))
            _refuse_pixels(jpeg.size, most)
        return jpeg
    if content_type == WEBP:
        _refuse_pixels(_webp_size(data), most)  # opening alone takes the memory
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(data), formats=[FORMATS[content_type]])
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _too_large() from error
    _refuse_pixels(image.size, most)
    return image


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height as the first chunk says (WebP container specification, RFC 9649)."""
    form = data[12:16]
    if form == b"VP8X":
        fields = struct.unpack_from("<HBHB", data, 24)
        return fields[0] + (fields[1] << 16) + 1, fields[2] + (fields[3] << 16) + 1
    if form == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _too_large() -> UploadRefused:
    return UploadRefused(
        _("This photo has too many pixels. Take it with a lower resolution, or send a screenshot.")
    )


def _refuse_pixels(size: tuple[int, int], most: int) -> None:
    if size[0] * size[1] > most:
        raise _too_large()


def _upright(image: Image.Image) -> Image.Image:
    turn = None
    with contextlib.suppress(Exception):  # a damaged note about a photo does not damage the photo
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    return image.transpose(turn) if turn is not None else image


def _in_srgb(image: Image.Image) -> Image.Image:
    """Colours as they were meant, since the profile that says so is left out."""
    profile = image.info.get("icc_profile")
    if not profile or len(profile) > LARGEST_PROFILE or image.mode not in {"RGB", "RGBA", "CMYK"}:
        return image
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGBA" if image.mode == "RGBA" else "RGB",
        )
        if converted is not None:
            return converted
    return image


def _in_mode(image: Image.Image, content_type: str) -> Image.Image:
    """In a mode that the format can hold."""
    if image.mode.startswith("I"):  # 16 bits of grey, as X-rays have
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in MODES[content_type]:
        return image
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    return image.convert("RGBA" if has_alpha and content_type != JPEG else "RGB")


def _thumbnail(image: Image.Image) -> bytes:
    """A JPEG within `THUMBNAIL_SIDE`, on white where the picture is transparent."""
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    image = image.convert("RGBA") if has_alpha else image.convert("RGB")
    share = min(1.0, THUMBNAIL_SIDE / max(image.size))
    size = max(1, round(image.width * share)), max(1, round(image.height * share))
    image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    if has_alpha:
        white = Image.new("RGB", size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    image.info = {}
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=80)
    return kept.getvalue()
