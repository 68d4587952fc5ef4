"""Samples of the export files of other products.

ChatGPT and Claude publish no schema: these follow what public parsers describe. Open WebUI and LibreChat are
written from the source that makes the files.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

CHATGPT: list[dict[str, Any]] = [
    {
        "title": "Weather in Köln",
        "create_time": 1_700_000_000.5,
        "update_time": 1_700_000_900.0,
        "conversation_id": "6553f100-0000-8000-8000-000000000001",
        "is_archived": True,
        "is_starred": True,
        "current_node": "a2",
        "mapping": {
            "root": {"id": "root", "message": None, "parent": None, "children": ["s"]},
            "s": {
                "parent": "root",
                "message": {
                    "author": {"role": "system"},
                    "content": {"content_type": "text", "parts": [""]},
                    "metadata": {"is_visually_hidden_from_conversation": True},
                },
            },
            "i": {
                "parent": "s",
                "message": {
                    "author": {"role": "user"},
                    "content": {"content_type": "user_editable_context", "user_profile": "A secret"},
                    "metadata": {
                        "is_visually_hidden_from_conversation": True,
                        "is_user_system_message": True,
                    },
                },
            },
            "u": {
                "parent": "i",
                "message": {
                    "author": {"role": "user"},
                    "create_time": 1_700_000_001.0,
                    "content": {
                        "content_type": "multimodal_text",
                        "parts": [
                            {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-1"},
                            "How is the weather?",
                        ],
                    },
                },
            },
            "t": {
                "parent": "u",
                "message": {
                    "author": {"role": "assistant"},
                    "content": {
                        "content_type": "thoughts",
                        "thoughts": [{"summary": "Looking", "content": "I search."}],
                    },
                    "metadata": {"model_slug": "gpt-5-thinking"},
                },
            },
            "c": {
                "parent": "t",
                "message": {
                    "author": {"role": "assistant"},
                    "recipient": "python",
                    "content": {"content_type": "code", "language": "unknown", "text": "print('```')"},
                },
            },
            "r": {
                "parent": "c",
                "message": {
                    "author": {"role": "tool", "name": "python"},
                    "content": {"content_type": "execution_output", "text": "rain"},
                },
            },
            "a1": {
                "parent": "r",
                "message": {
                    "author": {"role": "assistant"},
                    "create_time": 1_700_000_010.0,
                    "content": {
                        "content_type": "text",
                        "parts": ["It rains. \ue200cite\ue202turn0search1\ue201"],
                    },
                    "metadata": {
                        "model_slug": "gpt-5-thinking",
                        "content_references": [
                            {
                                "matched_text": "\ue200cite\ue202turn0search1\ue201",
                                "alt": "([DWD](https://dwd.example))",
                            }
                        ],
                    },
                },
            },
            "a2": {
                "parent": "u",
                "message": {
                    "author": {"role": "assistant"},
                    "create_time": 1_700_000_020.0,
                    "content": {"content_type": "text", "parts": ["Another answer."]},
                    "metadata": {"model_slug": "gpt-5"},
                },
            },
            "x": {
                "parent": "a2",
                "message": {
                    "author": {"role": "assistant"},
                    "content": {"content_type": "hologram", "beam": "blue"},
                },
            },
        },
    }
]

CLAUDE: list[dict[str, Any]] = [
    {
        "uuid": "c1aude00-0000-4000-8000-000000000001",
        "name": "A poem",
        "created_at": "2024-05-01T10:00:00.000000Z",
        "updated_at": "2024-05-01T10:05:00.000000Z",
        "chat_messages": [
            {
                "uuid": "m1",
                "sender": "human",
                "text": "Write a poem.",
                "content": [{"type": "text", "text": "Write a poem."}],
                "created_at": "2024-05-01T10:00:00.000000Z",
                "attachments": [{"file_name": "notes.txt", "extracted_content": "roses"}],
                "files": [{"file_name": "photo.png"}],
            },
            {
                "uuid": "m2",
                "sender": "assistant",
                "text": "Roses.",
                "created_at": "2024-05-01T10:00:10.000000Z",
                "content": [
                    {"type": "thinking", "thinking": "About roses."},
                    {"type": "tool_use", "name": "search", "input": {"q": "roses"}},
                    {"type": "tool_result", "name": "search", "content": [{"type": "text", "text": "red"}]},
                    {"type": "text", "text": "Roses."},
                    {"type": "sculpture", "clay": 1},
                ],
            },
        ],
    },
    {"uuid": "c1aude00-0000-4000-8000-000000000002", "name": "", "chat_messages": []},
]

CLAUDE_PROJECTS: list[dict[str, Any]] = [
    {
        "uuid": "9ro1ec70-0000-4000-8000-000000000001",
        "name": "Garden\u0000 work",
        "description": "All about roses",
        "is_private": True,
        "is_starter_project": False,
        "prompt_template": "Answer as a gardener.\r\n",
        "created_at": "2024-05-01T10:00:00.000000Z",
        "updated_at": "2024-05-01T10:00:00.000000Z",
        "creator": {"uuid": "someone", "full_name": "Some One"},
        "docs": [
            {"uuid": "d1", "filename": "../roses.md", "content": "# Roses\n\u0007Red."},
            {"uuid": "d2", "filename": "soil.pdf", "content": "Loam holds water."},
            {"uuid": "d3", "filename": "copy.md", "content": "# Roses\n\u0007Red."},
            {"uuid": "d4", "filename": "empty.txt", "content": ""},
            7,
        ],
    },
    {"uuid": "9ro1ec70-0000-4000-8000-000000000002", "name": None, "prompt_template": None, "docs": None},
]

OPEN_WEBUI: list[dict[str, Any]] = [
    {
        "id": "0pen0000-0000-4000-8000-000000000001",
        "user_id": "someone",
        "title": "Numbers",
        "created_at": 1_720_000_000,
        "updated_at": 1_720_000_100,
        "pinned": True,
        "archived": False,
        "folder_id": "f01de400-0000-4000-8000-000000000001",
        "meta": {"tags": ["counting", 7, None]},
        "chat": {
            "title": "Numbers",
            "system": "Be brief.",
            "history": {
                "currentId": "b2",
                "messages": {
                    "p1": {
                        "id": "p1",
                        "parentId": None,
                        "childrenIds": ["b1", "b2"],
                        "role": "user",
                        "content": "Count to <details>3</details>.",
                        "timestamp": 1_720_000_000,
                        "models": ["m1", "m2"],
                    },
                    "b1": {
                        "id": "b1",
                        "parentId": "p1",
                        "role": "assistant",
                        "content": "1 2 3",
                        "model": "m1",
                        "modelName": "Model One",
                        "done": True,
                        "annotation": {"rating": 1},
                        "sources": [{"source": {"name": "a.txt"}}, {"source": {"name": "b.txt"}}],
                        "code_executions": [{"id": "x", "code": "print(1)"}],
                    },
                    "b2": {
                        "id": "b2",
                        "parentId": "p1",
                        "role": "assistant",
                        "content": (
                            '<details type="reasoning" done="true" duration="2">\n'
                            "<summary>Thought</summary>\n"
                            "> Easy &amp; quick.\n</details>\n"
                            '<details type="tool_calls" done="true" id="c1" name="count" '
                            'arguments="&quot;{\\&quot;to\\&quot;: 3}&quot;" result="&quot;1, 2, 3&quot;">\n'
                            "<summary>Tool Executed</summary>\n</details>\nOne, two, three."
                        ),
                        "model": "m2",
                        "done": False,
                    },
                },
            },
        },
    }
]

LIBRECHAT: dict[str, Any] = {
    "conversationId": "1ibre000-0000-4000-8000-000000000001",
    "endpoint": "openAI",
    "title": "Capitals",
    "recursive": True,
    "options": {"promptPrefix": "You are a teacher."},
    "messagesTree": [
        {
            "messageId": "l1",
            "parentMessageId": "00000000-0000-0000-0000-000000000000",
            "text": "The capital of France?",
            "isCreatedByUser": True,
            "sender": "User",
            "createdAt": "2025-01-02T03:04:05.000Z",
            "children": [
                {
                    "messageId": "l2",
                    "isCreatedByUser": False,
                    "sender": "GPT-4o",
                    "model": "gpt-4o",
                    "createdAt": "2025-01-02T03:04:10.000Z",
                    "content": [
                        {"type": "think", "think": "Paris, surely."},
                        {
                            "type": "tool_call",
                            "tool_call": {
                                "name": "atlas",
                                "args": '{"country": "France"}',
                                "output": "Paris",
                            },
                        },
                        {"type": "text", "text": "Paris."},
                    ],
                    "children": [],
                },
                {"messageId": "l3", "text": "Lyon.", "model": "tiny", "unfinished": True, "children": []},
            ],
        }
    ],
}


def as_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def as_zip(path: Path, **entries: bytes | str) -> Path:
    """`conversations__json` is the entry `conversations.json`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("__", "."), data)
    return path
