"""The reading program: known files, broken files and hostile files. Each ends with a sentence, in bounded
memory and time."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from chat.transfer import reader
from chat.transfer.chats import EXTRAS, UNLINKED, UNNAMED_FOLDERS
from tests.transfer.samples import (
    CHATGPT,
    CLAUDE,
    CLAUDE_PROJECTS,
    LIBRECHAT,
    OPEN_WEBUI,
    as_json,
    as_zip,
)


def read(path: Path, *, summary: bool = False) -> list[dict[str, Any]]:
    out = io.BytesIO()
    reader.write(path, out, summary=summary)
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("name", "value", "titles"),
    [
        ("chatgpt", CHATGPT, ["Weather in Köln"]),
        ("claude", CLAUDE, ["A poem"]),
        ("open_webui", OPEN_WEBUI, ["Numbers"]),
        ("librechat", LIBRECHAT, ["Capitals"]),
    ],
)
def test_each_format_is_recognised(tmp_path: Path, name: str, value: Any, titles: list[str]) -> None:
    lines = read(as_json(tmp_path / "file", value))
    assert lines[0] == {"format": name} and lines[-1] == {"end": {"format": name}}
    assert [line["chat"]["title"] for line in lines if "chat" in line] == titles
    zipped = as_zip(tmp_path / "zip", **{"folder/conversations__json": json.dumps(value), "user__json": "{}"})
    assert read(zipped) == lines


@pytest.mark.parametrize("is_split", [False, True])
def test_projects_of_claude_are_read_before_the_chats(tmp_path: Path, is_split: bool) -> None:
    projects = {"projects__json": json.dumps([*CLAUDE_PROJECTS, {"name": "Damaged"}])}
    if is_split:
        names = [*CLAUDE_PROJECTS, {"name": "Damaged"}]
        projects = {f"projects/{number}__json": json.dumps(item) for number, item in enumerate(names)}
    zipped = as_zip(
        tmp_path / "zip",
        conversations__json=json.dumps(CLAUDE),
        users__json="[]",
        memories__json="[]",
        **projects,
    )
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("__MACOSX/projects/._0.json", b"\x00")
    lines = read(zipped)
    assert lines[0] == {"format": "claude"} and lines[-1] == {"end": {"format": "claude"}}
    kinds = [next(iter(line)) for line in lines[1:-1]]
    assert kinds == ["extra", "extra", "left_out", "chat", "problem", "left_out"]
    assert lines[3] == {"left_out": {EXTRAS: 1}} and lines[-2] == {"left_out": {UNLINKED: 2}}
    assert [len(line["extra"]["documents"]) for line in lines if "extra" in line] == [2, 0]
    summary = [line["extra"] for line in read(zipped, summary=True) if "extra" in line]
    assert summary[0] == {"type": "folder", "name": "Garden\ufffd work", "documents": 2}


def test_a_file_of_projects_alone_is_an_export(tmp_path: Path) -> None:
    for path in (
        as_json(tmp_path / "list", CLAUDE_PROJECTS),
        as_zip(tmp_path / "zip", **{"projects/a__json": json.dumps(CLAUDE_PROJECTS[0])}),
    ):
        lines = read(path)
        assert lines[0] == {"format": "claude"}
        assert lines[1]["extra"]["instructions"] == "Answer as a gardener."


@pytest.mark.parametrize("damaged", ["[{", "\x00", '{"a": ' * 5_000, '[{"name": "\\ud800"}]', '{"docs": 1}'])
def test_damaged_projects_do_not_stop_the_chats(tmp_path: Path, damaged: str) -> None:
    zipped = as_zip(tmp_path / "zip", conversations__json=json.dumps(CLAUDE), projects__json=damaged)
    lines = read(zipped)
    assert sum("chat" in line for line in lines) == 1 and "end" in lines[-1]
    assert {"left_out": {EXTRAS: 1}} in lines


def test_a_project_in_a_damaged_lzma_entry_does_not_stop_the_chats(tmp_path: Path) -> None:
    path = tmp_path / "zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("conversations.json", json.dumps(CLAUDE))
        archive.writestr("projects/a.json", json.dumps(CLAUDE_PROJECTS[0]))
        entry = archive.getinfo("projects/a.json")
    data = bytearray(path.read_bytes())
    at = entry.header_offset + 30 + len(entry.filename) + 9  # after the properties of LZMA
    data[at : at + entry.compress_size - 9] = b"\xff" * (entry.compress_size - 9)
    path.write_bytes(data)
    lines = read(path)
    assert sum("chat" in line for line in lines) == 1 and "end" in lines[-1]
    assert {"left_out": {EXTRAS: 1}} in lines


@pytest.mark.parametrize(
    ("name", "start", "middle", "count", "end"),
    [
        ("projects.json", b"[", b'{"a": ', 200_000, b"1" + b"}" * 200_000 + b"]"),
        ("projects.json", b"", b"[", 200_000, b"]" * 200_000),
        ("projects.json", b'[{"docs": [', b"{},", 20_000_000, b"{}]}]"),
        ("projects/a.json", b'{"prompt_template": "", "docs": [', b"{},", 11_000_000, b"{}]}"),
        ("projects/a.json", b'{"prompt_template": "", "docs": [', b"{},", 20_000_000, b"{}]}"),
    ],
    ids=["deep", "deep list", "large list", "just below the limit", "large"],
)
def test_a_hostile_project_does_not_stop_the_chats(
    tmp_path: Path, name: str, start: bytes, middle: bytes, count: int, end: bytes
) -> None:
    path = tmp_path / "zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("conversations.json", json.dumps(CLAUDE))
        archive.writestr(name, start + middle * count + end)
    program = [sys.executable, "-m", "chat.transfer.reader", str(path)]
    done = subprocess.run(program, capture_output=True, env={}, timeout=120)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr[-2_000:]
    assert sum("chat" in line for line in lines) == 1 and "end" in lines[-1]
    assert any(EXTRAS in line.get("left_out", {}) for line in lines)


def test_a_chat_goes_into_the_project_that_it_names(tmp_path: Path) -> None:
    project = CLAUDE_PROJECTS[0]["uuid"]
    chats = [
        {**CLAUDE[0], "uuid": "1", "project_uuid": project},
        {**CLAUDE[0], "uuid": "2", "project": {"uuid": "x", "name": " Other  project"}},
        {**CLAUDE[0], "uuid": "3", "project_uuid": "unknown"},
        {**CLAUDE[0], "uuid": "4", "project": None},
    ]
    zipped = as_zip(
        tmp_path / "zip", conversations__json=json.dumps(chats), projects__json=json.dumps(CLAUDE_PROJECTS)
    )
    lines = [line for line in read(zipped) if "chat" in line]
    assert [line["chat"]["folder"] for line in lines] == ["Garden\ufffd work", "Other project", "", ""]
    assert [line["left_out"].get(UNNAMED_FOLDERS, 0) for line in lines] == [0, 0, 1, 0]
    assert not any(UNLINKED in line.get("left_out", {}) for line in read(zipped))


def test_the_parts_of_a_large_export_are_read_in_order(tmp_path: Path) -> None:
    other = [{**CHATGPT[0], "conversation_id": "other", "title": "Other"}]
    zipped = as_zip(
        tmp_path / "zip",
        **{"conversations-001__json": json.dumps(other), "conversations-000__json": json.dumps(CHATGPT)},
    )
    assert [line["chat"]["title"] for line in read(zipped) if "chat" in line] == ["Weather in Köln", "Other"]


def test_a_chat_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    damaged = {**CHATGPT[0], "title": "Bad", "mapping": {"a": {"message": {"author": 5, "content": []}}}}
    lines = read(as_json(tmp_path / "file", [damaged, 7, *CHATGPT, {"title": "Strange"}]))
    assert [line["problem"]["title"] for line in lines if "problem" in line] == ["Bad", "", "Strange"]
    assert sum("chat" in line for line in lines) == 1


def test_the_summary_has_no_text(tmp_path: Path) -> None:
    (line,) = [it for it in read(as_json(tmp_path / "file", OPEN_WEBUI), summary=True) if "chat" in it]
    assert line["chat"] == {
        "id": "0pen0000-0000-4000-8000-000000000001",
        "title": "Numbers",
        "at": "2024-07-03T09:48:20+00:00",
        "messages": 3,
        "replies": 2,
    }


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "blank": b"  \n",
    "not JSON": b"<html>",
    "cut": json.dumps(CHATGPT).encode()[:-20],
    "not UTF-8": b'[{"title": "\xff\xfe", "mapping": {}}]',
    "a list of numbers": b"[1, 2, 3]",
    "no chats": b"[]",
    "another object": b'{"hello": "world"}',
    "deep list": b"[" * 100_000,
    "deep chat": b'[{"mapping": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}]",
    "deep object": b'{"conversationId": "a", "messages": ' + b'{"children": [' * 5_000 + b"]}" * 5_000 + b"}",
    "a huge number": b'[{"mapping": {"a": ' + b"9" * 50_000 + b"}}]",
    "newer": b'{"format": "steady-chats", "version": 2, "chats": []}',
    "our own, empty": b'{"format": "steady-chats", "version": 1, "chats": []}',
    "a zip that is none": b"PK\x03\x04" + b"\0" * 100,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_imported_ends_with_a_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(HOSTILE[name])
    if name.startswith("deep"):  # may overflow the stack of a parser, which ends the process
        done = subprocess.run(
            [sys.executable, "-m", "chat.transfer.reader", str(path)],
            capture_output=True,
            env={},
            timeout=120,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode in (0, -11), done.returncode
        if done.returncode:
            assert not any("end" in line for line in lines), "the server says that it cannot be read"
            return
    else:
        lines = read(path)
    last = lines[-1]
    assert "error" in last or all("problem" in line or "format" in line for line in lines[:-1]), lines[-3:]
    if "error" in last:
        assert last["error"].endswith(".")


def test_an_entry_with_a_false_size_is_refused(tmp_path: Path) -> None:
    path = as_zip(tmp_path / "zip", conversations__json=b"[" + b" " * 5_000_000 + b"]")
    data = path.read_bytes().replace((5_000_002).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(data)
    assert "error" in read(path)[-1]


def test_names_in_a_zip_become_no_paths(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../conversations.json", json.dumps(CHATGPT))
        archive.writestr("/etc/chats.json", json.dumps([]))
    assert "error" not in read(path)[-1]
    assert sorted(it.name for it in tmp_path.rglob("*")) == ["in", "zip"]


def test_an_encrypted_zip_is_named(tmp_path: Path) -> None:
    path = as_zip(tmp_path / "zip", conversations__json="[]")
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    path.write_bytes(data)
    assert "encrypted" in read(path)[-1]["error"]


def test_a_bomb_ends_in_a_sentence_or_at_the_kernel_s_limit(tmp_path: Path) -> None:
    """One chat of 1 GB of JSON, in a zip file of 1 MB. The program may not take more than its memory."""
    path = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("conversations.json", "w", force_zip64=True) as entry,
    ):
        entry.write(b'[{"mapping": {"a": "')
        for _ in range(1_025):
            entry.write(b"a" * 1024 * 1024)
        entry.write(b'"}}]')
    program = [sys.executable, "-m", "chat.transfer.reader", str(path)]
    done = subprocess.run(program, capture_output=True, env={}, timeout=120)
    assert json.loads(done.stdout.splitlines()[-1])["error"] == "The file is too large when it is unpacked."
