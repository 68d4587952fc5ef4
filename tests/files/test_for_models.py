"""A model gets what it can read of each file, and people are told what it did not get."""

from __future__ import annotations

import io
import resource
import runpy
import sys
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from PIL import Image
from pypdf import PdfWriter

from chat.actions.send import send_message
from chat.files import prepare as prepare_module
from chat.files.detect import IMAGES
from chat.files.for_models import FileReader
from chat.generation.context import NOT_WHOLE, prepare
from chat.models import Attachment, ChatModel, Endpoint, Generation, Message, User
from chat.parts import FilePart
from chat.pipeline.tokens import turn_tokens
from chat.providers.base import Turn

pytestmark = pytest.mark.django_db

type Upload = Callable[..., Attachment]


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30), **more: object) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, "teal").save(data, kind, **more)
    return data.getvalue()


def pdf(pages: int = 1, password: str = "") -> bytes:
    writer, data = PdfWriter(), io.BytesIO()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    if password:
        writer.encrypt(password)
    writer.write(data)
    return data.getvalue()


def long_pdf(pages: int) -> bytes:
    """Returns a PDF of so many empty pages, quickly: pypdf takes seconds to write one."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>"]
    kids = b" ".join(b"%d 0 R" % number for number in range(3, pages + 3))
    objects.append(b"<</Type/Pages/Count %d/Kids[%s]>>" % (pages, kids))
    objects += [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"] * pages
    data, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj%s endobj\n" % (number, content)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    data += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start)
    return bytes(data)


def archive(**members: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/") + ".xml", content)
    return data.getvalue()


def got(reader: FileReader, *attachments: Attachment) -> list[tuple[str, bytes]]:
    parts = [FilePart("", "", attachment.name, id=str(attachment.pk)) for attachment in attachments]
    return [(file.media_type, file.data) for file in reader.files(parts)]


def test_an_image_is_scaled_and_loses_the_metadata_of_the_camera(
    person: User, upload: Upload, model: ChatModel
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a secret place"  # turned by 90 degrees
    file = upload(person, picture("JPEG", (4000, 1000), exif=exif), "photo.jpg")
    [(media_type, data)] = got(FileReader(model, "openai", 1000), file)
    assert media_type == "image/jpeg" and b"secret" not in data
    assert Image.open(io.BytesIO(data)).size == (392, 1568)


def test_a_model_without_vision_gets_the_name(person: User, upload: Upload, model: ChatModel) -> None:
    model.takes_images = False
    reader = FileReader(model, "openai", 1000)
    assert got(reader, upload(person, picture(), "photo.png")) == [
        ("text/plain", b"[You cannot see images.]")
    ]
    assert reader.left_out == ["photo.png"]


def test_a_pdf_is_sent_unchanged_if_the_model_reads_it(
    person: User, upload: Upload, model: ChatModel
) -> None:
    file = upload(person, pdf(2), "scan.pdf")
    assert file.stored is not None and file.stored.note.startswith("No text")
    assert got(FileReader(model, "anthropic", 1000), file) == [("application/pdf", pdf(2))]
    assert got(FileReader(model, "openai_compatible", 1000), file)[0][0] == "text/plain"


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.csv", b"a;b\r\n1;2\r\n", "a;b\n1;2\n"),
        ("a.py", "print('ä')".encode(), "print('ä')"),
        ("a.txt", "naïve".encode("cp1252"), "naïve"),
        ("a.txt", "naïve".encode("utf-16"), "naïve"),
        ("a.html", b"<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("a.svg", b"<svg onload='alert(1)'/>", "<svg onload='alert(1)'/>"),
        (
            "a.docx",
            archive(word__document="<d><p><t>Hello</t></p><tc><p><t>one</t></p></tc></d>"),
            "Hello\none\n\t",
        ),
        (
            "a.pptx",
            archive(
                ppt__presentation="<p/>",
                ppt__slides__slide2="<d><t>B</t></d>",
                ppt__slides__slide1="<d><t>A</t></d>",
            ),
            "[slide 1]\nA\n[slide 2]\nB\n",
        ),
    ],
)
def test_documents_are_sent_as_text(
    person: User, upload: Upload, model: ChatModel, name: str, data: bytes, text: str
) -> None:
    file = upload(person, data, name)
    assert got(FileReader(model, "openai", 1000), file) == [("text/plain", text.encode())]


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("bomb.png", "huge", "too_large"),
        ("page.png", b"\x89PNG\r\n\x1a\n<html><script>", "broken"),
        ("page.jpg", b"\xff\xd8\xff<?php", "broken"),
        ("locked.pdf", pdf(1, "secret"), "encrypted"),
        ("broken.pdf", b"%PDF-1.7 nothing", "broken"),
        ("program.exe", b"MZ\x00\x01\x02", "unknown"),
        ("a.zip", archive(a="b"), "unknown"),
        ("a.docx", archive(word__document="<d><t>not closed"), "broken"),
        (
            "laughs.docx",
            archive(
                word__document='<!DOCTYPE d [<!ENTITY a "ha">'
                + "".join(f'<!ENTITY a{n} "{f"&a{n - 1 or str()};" * 20}">' for n in range(1, 9))
                + "]><d><t>&a8;</t></d>"
            ),
            "broken",
        ),
        ("bomb.docx", archive(word__document="<d>" + " " * 110_000_000 + "</d>"), "too_large"),
    ],
)
def test_hostile_files_are_kept_and_never_read(
    person: User, upload: Upload, model: ChatModel, name: str, data: bytes | str, problem: str
) -> None:
    if isinstance(data, str):
        content = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(content, "PNG")
        data = content.getvalue()
    file = upload(person, data, name)
    assert file.stored is not None and file.stored.problem == problem
    [(media_type, sent)] = got(FileReader(model, "openai", 1000), file)
    assert (media_type, sent[:1], sent[-1:]) == ("text/plain", b"[", b"]")


@pytest.mark.parametrize(
    ("data", "is_picture"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", False),
        (b"<!DOCTYPE html><script>alert(1)</script>", False),
        (picture() + b"<script>alert(1)</script>", True),
        (picture("GIF") + archive(a="b"), True),
    ],
)
def test_no_file_is_served_as_a_page_whatever_its_name(
    person: User, upload: Upload, model: ChatModel, client: Client, data: bytes, is_picture: bool
) -> None:
    file = upload(person, data, "holiday.png")
    assert file.stored is not None and (file.stored.media_type in IMAGES) == is_picture
    assert bool(file.stored.thumbnail) == is_picture
    [(media_type, sent)] = got(FileReader(model, "openai", 1000), file)
    assert media_type == ("image/png" if is_picture else "text/plain")
    assert not is_picture or not (b"script" in sent or b"xml" in sent)  # made anew
    client.force_login(person)
    answer = client.get(f"/files/{file.pk}/")
    assert answer["Content-Type"] == (file.stored.media_type if is_picture else "application/octet-stream")
    assert answer["Content-Disposition"].startswith("inline" if is_picture else "attachment")
    assert answer["X-Content-Type-Options"] == "nosniff" and "sandbox" in answer["Content-Security-Policy"]


def test_a_pdf_of_ten_thousand_pages_is_read_in_bounded_time(
    person: User, upload: Upload, model: ChatModel
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    file = upload(person, long_pdf(10_000), "long.pdf")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of CPU, which the kernel limits: it does not depend on what else runs.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20 + 1
    assert file.stored is not None and file.stored.pages in (0, 10_000)
    [(media_type, _data)] = got(FileReader(model, "anthropic", 1000), file)
    assert media_type == "text/plain"  # too many pages for a provider


SOUND = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00" + bytes(100)


def test_no_page_of_a_pdf_is_read_after_the_limit_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages have no text: nothing is written between them."""
    monkeypatch.setattr("sys.path", [*sys.path])  # the program adds its folder
    program = runpy.run_path(str(Path(prepare_module.__file__).with_name("worker.py")))
    read: list[int] = []
    monkeypatch.setattr("pypdf.PageObject.extract_text", lambda page: read.append(page.page_number) or "")
    path = tmp_path / "long.pdf"
    path.write_bytes(long_pdf(50))
    monkeypatch.setitem(program["_written"].__globals__, "TEXT_SECONDS", 0.0)
    assert program["pdf"](path) == {"pages": 50, "problem": "empty"}
    assert read == [0]


@pytest.mark.parametrize(
    ("kind", "takes_audio", "wav", "ogg"),
    [
        ("gemini", None, True, True),
        ("gemini", False, False, False),
        ("openai", None, False, False),
        ("openai", True, True, False),
        ("azure", True, True, False),
        ("openai_compatible", True, True, False),
        ("anthropic", True, False, False),
    ],
)
def test_audio_is_sent_if_the_model_accepts_it(
    person: User,
    upload: Upload,
    model: ChatModel,
    kind: str,
    takes_audio: bool | None,
    wav: bool,
    ogg: bool,
) -> None:
    model.takes_audio = takes_audio
    for data, name, media_type, is_sent in (
        (SOUND, "note.wav", "audio/wav", wav),
        (b"OggS" + bytes(90), "note.ogg", "audio/ogg", ogg),
    ):
        reader = FileReader(model, kind, 1000)
        instead = ("text/plain", b"[You cannot listen to this audio file.]")
        assert got(reader, upload(person, data, name)) == [(media_type, data) if is_sent else instead]
        assert reader.left_out == ([] if is_sent else [name])


@pytest.mark.parametrize(
    ("head", "tokens"),
    [
        (SOUND[:24] + (8_000).to_bytes(4, "little") + (16_000).to_bytes(4, "little"), 64),
        (SOUND[:24] + bytes(8), 64),
        (SOUND[:24] + b"\x01\x00\x00\x00" * 2, 256),  # lies: a byte a second
        (b"ID3", 64),
    ],
)
def test_the_tokens_of_audio_depend_on_its_length(
    person: User, upload: Upload, head: bytes, tokens: int
) -> None:
    file = upload(person, head.ljust(32_000, b"\x00"), "two seconds")
    assert file.stored is not None and file.stored.tokens == tokens


def test_an_alias_accepts_the_audio_of_its_model(model: ChatModel) -> None:
    model.endpoint, model.takes_audio = Endpoint(slug="own", kind="openai_compatible"), True
    alias = ChatModel(endpoint=Endpoint(slug="other", kind="anthropic"), name="fast", alias_of=model)
    assert alias.audio_types == ("audio/wav", "audio/mpeg")
    model.endpoint.kind = "ollama"
    assert alias.audio_types == ("audio/wav", "audio/mpeg")  # as for its requests, whose kind is compatible
    model.takes_audio = None
    assert alias.audio_types == ()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.txt", "a.txt"),
        ("report\u202etxt.exe", "report txt.exe"),
        ("a\x00\r\nSet-Cookie: x.txt", "a Set-Cookie: x.txt"),
        ("..", "file"),
        ("x" * 300 + ".pdf", "x" * 195 + "….pdf"),
    ],
)
def test_names_are_safe_to_show(person: User, upload: Upload, name: str, shown: str) -> None:
    assert upload(person, name.encode() + b"!", name).name == shown


def test_a_long_text_is_cut_to_the_model_with_a_notice(person: User, upload: Upload) -> None:
    endpoint = Endpoint.objects.create(slug="demo", name="Demo")
    model = ChatModel.objects.create(endpoint=endpoint, name="demo", context_window=4_000)
    long, short = upload(person, b"words " * 20_000, "long.txt"), upload(person, b"short", "short.txt")
    ids = {"client_id": uuid.uuid4(), "model_ids": [model.pk]}
    sent = send_message(person, uuid.uuid4(), text="Read", attachments=[long.pk, short.pk], **ids)
    prepared = prepare(Generation.objects.get(message__parent=sent.message))
    [turn] = prepared.request.turns
    assert turn_tokens(turn) < 3_000 and len(turn.files) == 2
    assert b"left out" in turn.files[0].data
    assert [notice.text for notice in prepared.notices] == [f"{NOT_WHOLE}\nlong.txt\nshort.txt"]


def test_earlier_files_are_sent_again(person: User, upload: Upload, model: ChatModel) -> None:
    chat, ids = uuid.uuid4(), {"model_ids": [model.pk]}
    file = upload(person, picture(), "photo.png")
    first = send_message(person, chat, client_id=uuid.uuid4(), text="", attachments=[file.pk], **ids)
    Message.objects.filter(parent=first.message).update(text="A square")
    second = send_message(person, chat, client_id=uuid.uuid4(), text="Which colour?", **ids)
    turns = prepare(Generation.objects.get(message__parent=second.message)).request.turns
    assert [(turn.role, turn.text, len(turn.files)) for turn in turns] == [
        ("user", "", 1),
        ("assistant", "A square", 0),
        ("user", "Which colour?", 0),
    ]
    assert isinstance(turns[0], Turn)
