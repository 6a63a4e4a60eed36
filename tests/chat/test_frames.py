"""The parser: whatever comes, a frame or a refusal of the protocol, never another exception."""

from __future__ import annotations

import json
import unicodedata
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import frames
from chat.frames import FrameError, Send

PLACE = "0192f0c1-2d3e-7abc-8def-0123456789ab"
CLIENT_ID = "5f0f7f3a-7d0e-4b5e-9f46-0f3bdb9a3c11"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
kinds = st.sampled_from(
    ["send", "edit", "delete", "delivered", "read", "typing", "sync", "ping", "ack", "message"]
)
fields = st.fixed_dictionaries(
    {"type": kinds | json_values},
    optional={
        "conversation": st.just(PLACE) | json_values,
        "client_id": st.just(CLIENT_ID) | json_values,
        "body": st.text(max_size=30) | st.just("x" * 4_001) | json_values,
        "attachment": st.just(PLACE) | json_values,
        "reply_to": st.integers() | json_values,
        "target": st.integers() | json_values,
        "seq": st.integers() | json_values,
        "after": st.integers() | json_values,
        "limit": st.integers() | json_values,
    },
)


def _parsed(text: str) -> frames.Frame | FrameError:
    try:
        return frames.parse(text)
    except FrameError as error:
        return error


@given(st.text() | fields.map(json.dumps))
def test_every_text_is_a_frame_or_a_refusal(text: str) -> None:
    frame = _parsed(text)
    if isinstance(frame, FrameError):
        assert frame.code in {"bad_frame", "too_long", "not_found"} and frame.detail
        frame.detail.encode()  # can be sent
    else:
        body = getattr(frame, "body", "x")
        assert len(body) <= frames.BODY_LIMIT
        body.encode()  # no half characters reach the database
        assert "\x00" not in body
        for name in ("target", "seq", "reply_to"):
            value = getattr(frame, name, None)
            assert value is None or 1 <= value <= frames.SEQ_LIMIT
        assert 1 <= getattr(frame, "limit", 1) <= frames.SYNC_LIMIT


@given(st.text(min_size=1, max_size=4_000).filter(lambda text: text.strip()))
def test_a_body_is_kept_as_it_was_written(body: str) -> None:
    text = json.dumps({"type": "send", "conversation": PLACE, "client_id": CLIENT_ID, "body": body})
    frame = _parsed(text)
    if isinstance(frame, FrameError):
        assert frame.code == "bad_frame" and frame.client_id == CLIENT_ID
    else:
        assert isinstance(frame, Send)
        assert frame.body == body.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("limit", [1, 200, 201, 10**6])
def test_a_sync_gets_at_most_200_events(limit: int) -> None:
    text = json.dumps({"type": "sync", "conversation": PLACE, "after": 0, "limit": limit})
    assert frames.parse(text) == frames.Sync(UUID(PLACE), 0, min(limit, 200))


def test_control_characters_and_half_characters_are_refused_and_nothing_else() -> None:
    for code in (*range(0x3000), *range(0xD700, 0xE100), 0x1F9FA):
        character = chr(code)
        refused = unicodedata.category(character) in {"Cc", "Cs"} and character not in "\t\n\r"
        try:
            frames.clean_body(f"a{character}b")
        except FrameError:
            assert refused, hex(code)
        else:
            assert not refused, hex(code)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_what_is_sent_is_json_again(frame: dict[str, Any]) -> None:
    assert json.dumps(json.loads(frames.dump(frame))) == json.dumps(frame)
