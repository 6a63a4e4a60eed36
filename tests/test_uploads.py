"""What is let in as a file, what remains of it, and that the database gives back what it got."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from PIL import Image, ImageCms

from clinic.uploads import pictures
from clinic.uploads.checking import Checked, check
from clinic.uploads.models import StoredChunk
from clinic.uploads.names import LONGEST, clean_name
from clinic.uploads.refusals import UploadRefused
from clinic.uploads.storage import CHUNK, DatabaseStorage
from tests import files

LIMIT = 10 * 1024 * 1024


def taken(name: str, data: bytes) -> Checked:
    return check(name, data, limit=LIMIT)


def refused(name: str, data: bytes) -> UploadRefused:
    with pytest.raises(UploadRefused) as caught:
        taken(name, data)
    return caught.value


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def near(image: Image.Image, place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    found = image.convert("RGB").getpixel(place)
    assert isinstance(found, tuple)
    return all(abs(one - other) < 12 for one, other in zip(found, colour, strict=True))


# --- What is let in -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "data", "content_type", "form"),
    [
        ("wound.jpg", files.jpeg(), "image/jpeg", "JPEG"),
        ("WOUND.JPEG", files.jpeg(progressive=True), "image/jpeg", "JPEG"),
        ("screen.png", files.png(), "image/png", "PNG"),
        ("screen.webp", files.webp(), "image/webp", "WEBP"),
        ("screen.webp", files.webp(lossless=True), "image/webp", "WEBP"),
        ("grey.png", files.png(mode="L"), "image/png", "PNG"),
        ("palette.png", files.png(mode="P"), "image/png", "PNG"),
        ("bits.png", files.png(mode="1"), "image/png", "PNG"),
        ("print.jpg", files.encoded(files.drawing(mode="CMYK"), "JPEG"), "image/jpeg", "JPEG"),
    ],
)
def test_photos_are_taken_as_they_look(
    name: str, data: bytes, content_type: str, form: str
) -> None:
    file = taken(name, data)
    kept = opened(file.data)
    assert (file.content_type, kept.format) == (content_type, form)
    assert (file.width, file.height) == kept.size == opened(data).size
    thumbnail = opened(file.thumbnail)
    assert thumbnail.format == "JPEG"
    assert max(thumbnail.size) <= pictures.THUMBNAIL_SIDE


def test_a_pdf_is_taken_as_it_came() -> None:
    file = taken("Letter.PDF", files.pdf())
    assert file == Checked("Letter.pdf", "application/pdf", files.pdf())


def test_a_photo_of_a_phone_comes_upright_and_without_the_place_it_was_taken() -> None:
    data = files.photo((640, 480))
    assert files.SECRET_PLACE.encode() in data and b"Exif" in data  # so there is what to remove
    file = taken("photo.jpg", data)
    for kept in (file.data, file.thumbnail):
        assert files.SECRET_PLACE.encode() not in kept
        assert b"Exif" not in kept
        assert not opened(kept).getexif()
    assert (file.width, file.height) == (480, 640)
    upright = opened(file.data)
    assert near(upright, (240, 20), (200, 30, 30))  # what was left is above
    assert near(upright, (240, 620), (30, 30, 200))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_notes_in_other_pictures_are_removed_too(form: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = files.SECRET_PLACE
    xmp = f"<x:xmpmeta>{files.SECRET_PLACE}</x:xmpmeta>"
    options: dict[str, Any] = {"exif": exif}
    if form == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("Comment", files.SECRET_PLACE)
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)
    else:
        options["xmp"] = xmp.encode()
    data = files.encoded(files.drawing(), form, **options)
    assert files.SECRET_PLACE.encode() in data
    file = taken(f"x.{form.lower()}", data)
    assert files.SECRET_PLACE.encode() not in file.data + file.thumbnail


def test_transparency_stays_and_is_white_in_the_thumbnail() -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    file = taken("x.png", files.encoded(image, "PNG"))
    assert opened(file.data).getpixel((5, 5)) == (255, 0, 0, 0)
    assert near(opened(file.thumbnail), (5, 5), (255, 255, 255))
    palette = image.convert("P")
    file = taken("x.png", files.encoded(palette, "PNG", transparency=palette.getpixel((5, 5))))
    assert opened(file.data).convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_an_x_ray_of_16_bits_keeps_its_greys() -> None:
    image = Image.new("I;16", (40, 40), 0x8000)
    kept = opened(taken("x.png", files.encoded(image, "PNG")).data)
    assert (kept.mode, kept.getpixel((5, 5))) == ("L", 0x80)


def test_colours_stay_as_meant_though_their_profile_goes() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = taken("x.jpg", files.jpeg(icc_profile=profile))
    kept = opened(file.data)
    assert "icc_profile" not in kept.info
    assert near(kept, (20, 20), (200, 30, 30))
    taken("x.jpg", files.jpeg(icc_profile=b"no profile at all"))


# --- What is not (SECURITY 29) --------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("page.pdf", files.HTML),
        ("drawing.png", files.SVG),
        ("photo.png", files.jpeg()),
        ("photo.jpg", files.png()),
        ("letter.jpg", files.pdf()),
        ("photo.pdf", files.jpeg()),
        ("archive.pdf", files.archive()),
        ("photo.webp", b"RIFF\0\0\0\0WAVEfmt "),
        ("late.pdf", b"\n" + files.pdf()),
    ],
)
def test_s29_bytes_and_name_that_disagree_are_refused(name: str, data: bytes) -> None:
    refusal = refused(name, data)
    assert refusal.status == 422
    assert "not what its name says" in refusal.message


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("drawing.svg", files.SVG),
        ("page.html", files.HTML),
        ("animation.gif", b"GIF89a"),
        ("archive.zip", files.archive()),
        ("photo.jpg.exe", files.jpeg()),
        ("photo.jpg\u202egpj.exe", files.jpeg()),
        ("photo", files.jpeg()),
        ("", files.jpeg()),
    ],
)
def test_s29_other_kinds_of_file_are_refused(name: str, data: bytes) -> None:
    assert "JPEG, PNG or WebP" in refused(name, data).message


def test_s29_an_iphones_own_format_gets_a_sentence_that_helps() -> None:
    assert "Most Compatible" in refused("IMG_1.HEIC", b"\0\0\0\x18ftypheic").message


@pytest.mark.parametrize("tail", [files.archive(), files.HTML, files.SVG, b"<?php ?>", files.pdf()])
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp"])
def test_s29_a_photo_that_is_something_else_as_well_is_refused(name: str, tail: bytes) -> None:
    maker = {"x.jpg": files.jpeg, "x.png": files.png, "x.webp": files.webp}[name]
    assert "besides the picture" in refused(name, maker() + tail).message


def test_s29_markup_in_a_comment_of_a_photo_is_refused_too() -> None:
    assert "besides" in refused("x.jpg", files.jpeg(comment=files.HTML)).message


def test_s29_what_stands_behind_a_photo_does_not_get_in() -> None:
    """Phones put a short film there; it is nobody's fault, and nobody's file either."""
    film = b"\0\0\0\x18ftypmp42" + b"MOVING" * 100
    file = taken("motion.jpg", files.jpeg() + film)
    assert b"MOVING" not in file.data
    assert file.data.endswith(b"\xff\xd9")


@pytest.mark.parametrize(
    "data",
    [
        files.pdf() + files.archive(),
        files.pdf() + files.HTML + b"%%EOF",
        files.pdf(catalog=b"/OpenAction<</S/JavaScript/JS(app.alert(1))>>"),
        files.pdf(catalog=b"/OpenAction<</S/J#61vaScript/JS(app.alert(1))>>"),
        files.pdf(catalog=b"/OpenAction<</S/Launch/F(calc.exe)>>"),
        files.pdf(catalog=b"/Names<</EmbeddedFiles 9 0 R>>"),
    ],
)
def test_s29_a_pdf_with_programs_or_other_files_in_it_is_refused(data: bytes) -> None:
    assert "Print it to a new PDF" in refused("x.pdf", data).message


def test_s29_a_pdf_that_was_cut_off_is_refused() -> None:
    assert "damaged" in refused("x.pdf", files.pdf()[:-8]).message


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.png", files.png_of_size(50_000, 50_000)),
        ("x.png", files.png_of_size(2**31 - 1, 2**31 - 1)),
        ("x.png", files.png_of_size(10_000, 9_900)),  # Pillow itself would only warn
        ("x.png", files.png_of_size(5_000, 3_401)),
        ("x.jpg", files.jpeg_of_size(65_000, 65_000)),
        ("x.jpg", files.jpeg_of_size(8_000, 6_501)),
        ("x.webp", files.webp_of_size(2**24 - 1, 2**8)),
        ("x.webp", files.webp_of_size(16_383, 16_383)),
    ],
)
def test_s29_a_picture_that_would_be_huge_is_refused_before_it_is_decoded(
    name: str, data: bytes
) -> None:
    assert len(data) < 10_000
    tracemalloc.start()
    try:
        assert "too many pixels" in refused(name, data).message
        assert tracemalloc.get_traced_memory()[1] < 10 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_s29_a_progressive_photo_with_thousands_of_scans_is_refused() -> None:
    data = files.jpeg(progressive=True)
    at = data.rindex(b"\xff\xda")
    scan = data[at:-2]
    assert "too many pixels" in refused("x.jpg", data[:-2] + scan * 200 + data[-2:]).message


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.jpg", files.jpeg()[:400]),
        ("x.jpg", b"\xff\xd8\xff\xe0"),
        ("x.png", files.png()[:60]),
        ("x.png", b"\x89PNG\r\n\x1a\n"),
        ("x.webp", files.webp()[:40]),
        ("x.webp", b"RIFF\0\0\0\0WEBP"),
        ("x.png", files.png_of_size(40, 40)),
        ("x.png", files.png_of_size(0, 40)),
    ],
)
def test_s29_a_damaged_photo_gets_its_sentence(name: str, data: bytes) -> None:
    assert "damaged" in refused(name, data).message


def test_s29_sizes() -> None:
    assert "empty" in refused("x.jpg", b"").message
    refusal = refused("x.pdf", files.pdf(os.urandom(LIMIT)))
    assert refusal.status == 413
    assert "10.0\xa0MB" in refusal.message


def test_a_photo_of_fifty_million_pixels_is_taken_at_half_its_width_and_height() -> None:
    data = files.encoded(Image.new("L", (8_160, 6_120), 90), "JPEG", quality=30)
    file = taken("large.jpg", data)
    assert (file.width, file.height) == (4_080, 3_060)


def test_pictures_are_worked_on_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = 0, 0
    inner = pictures._anew

    def watched(data: bytes, content_type: str) -> pictures.Picture:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return inner(data, content_type)
        finally:
            running -= 1

    monkeypatch.setattr(pictures, "_anew", watched)
    data = files.jpeg((2_000, 1_500))
    threads = [threading.Thread(target=taken, args=("x.jpg", data)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


# --- Names ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("wound.jpg", "wound.jpg"),
        ("Wunde am Fuß (2).JPG", "Wunde am Fuß (2).jpg"),
        ("../../etc/passwd.pdf", "passwd.pdf"),
        ("C:\\Users\\me\\scan.pdf", "scan.pdf"),
        ("a\r\nSet-Cookie: x=1.pdf", "aSet-Cookie_ x=1.pdf"),
        ("exe\u202egpj.jpg", "exegpj.jpg"),
        ("zero\u200bwidth\x00.png", "zerowidth.png"),
        ("half\ud800.png", "half.png"),
        ('<img src=x onerror="a">.png', "_img src=x onerror=_a__.png"),
        ("...", "file"),
        ("..pdf", "file.pdf"),
        (".jpg", "file.jpg"),
        ("CON.pdf", "file-CON.pdf"),
        ("e\u0301.pdf", "é.pdf"),
        ("\u2028\u2029", "file"),
    ],
)
def test_s29_names_are_cleaned(given: str, kept: str) -> None:
    assert clean_name(given) == kept


def test_s29_a_long_name_is_cut_before_its_extension() -> None:
    name = clean_name("x" * 500 + ".jpg")
    assert len(name) == LONGEST
    assert name.endswith("x.jpg")
    assert len(clean_name("x." + "y" * 500)) <= LONGEST


# --- The database as storage ----------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17])
def test_what_is_stored_comes_back(size: int) -> None:
    data, storage = os.urandom(size), DatabaseStorage()
    name = storage.save("ab/one", ContentFile(data))
    assert name == "ab/one"
    assert storage.exists(name)
    assert storage.size(name) == size
    with storage.open(name) as file:
        assert file.size == size
        assert file.read() == data
    assert b"".join(storage.open(name).chunks()) == data
    pieces = StoredChunk.objects.filter(name=name)
    assert len(pieces) == max(1, -(-size // CHUNK))
    assert all(len(piece.data) <= CHUNK for piece in pieces)


@pytest.mark.django_db
def test_a_stored_file_can_be_read_from_any_place() -> None:
    data, storage = os.urandom(2 * CHUNK + 5), DatabaseStorage()
    storage.save("ab/one", ContentFile(data))
    with storage.open("ab/one") as file:
        file.seek(CHUNK - 3)
        assert file.read(6) == data[CHUNK - 3 : CHUNK + 3]
        file.seek(-5, os.SEEK_END)
        assert file.read() == data[-5:]
        file.seek(3 * CHUNK)
        assert file.read() == b""


@pytest.mark.django_db
def test_reading_a_stored_file_holds_one_piece(django_assert_num_queries: Any) -> None:
    storage = DatabaseStorage()
    storage.save("ab/one", ContentFile(b"x" * (4 * CHUNK)))
    with django_assert_num_queries(5):  # its size, and each piece once
        assert sum(len(piece) for piece in storage.open("ab/one").chunks(64 * 1024)) == 4 * CHUNK


@pytest.mark.django_db
def test_a_stored_file_is_deleted_with_all_its_pieces_and_no_others() -> None:
    storage = DatabaseStorage()
    storage.save("ab/one", ContentFile(b"x" * (2 * CHUNK)))
    storage.save("ab/two", ContentFile(b"y"))
    storage.delete("ab/one")
    storage.delete("ab/one")
    assert not storage.exists("ab/one")
    assert list(StoredChunk.objects.values_list("name", flat=True)) == ["ab/two"]
    with pytest.raises(FileNotFoundError):
        storage.open("ab/one")


@pytest.mark.django_db
def test_a_name_that_is_taken_gets_another() -> None:
    storage = DatabaseStorage()
    first = storage.save("ab/one", ContentFile(b"1"))
    second = storage.save("ab/one", ContentFile(b"2"))
    assert first != second
    assert storage.open(first).read() == b"1"


@pytest.mark.django_db
def test_a_file_that_lost_a_piece_is_an_error_and_not_a_shorter_file() -> None:
    storage = DatabaseStorage()
    storage.save("ab/one", ContentFile(b"x" * (3 * CHUNK)))
    file = storage.open("ab/one")
    StoredChunk.objects.filter(name="ab/one", number=1).delete()
    with pytest.raises(FileNotFoundError):
        file.read()


@pytest.mark.django_db
def test_half_a_file_is_never_stored() -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= CHUNK:
                raise OSError("the disk is gone")
            return super().read(size)

    from django.core.files.base import File

    with pytest.raises(OSError, match="the disk is gone"):
        DatabaseStorage().save("ab/one", File(Torn(b"x" * (2 * CHUNK)), "one"))
    assert not StoredChunk.objects.exists()


def test_s29_uploads_have_no_address_and_lie_outside_every_web_root(settings: Any) -> None:
    for storage in (storages["uploads"], DatabaseStorage()):
        with pytest.raises((ValueError, NotImplementedError)):
            storage.url("ab/one")
    folder = settings.STORAGES["uploads"].get("OPTIONS", {}).get("location")
    if folder:
        roots = [settings.STATIC_ROOT, *settings.STATICFILES_DIRS, settings.BASE_DIR / "static"]
        assert not any(folder.is_relative_to(root) for root in roots)
