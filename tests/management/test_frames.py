"""The frames that are written to sockets."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from chat.management.connections import _frame_head


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536, 2_000_000])
def test_a_frame_of_any_length_is_read_by_another_implementation(length: int, binary: bool) -> None:
    reader, payload = StreamReader(), b"x" * length
    reader.feed_data(_frame_head(length, binary=binary) + payload)
    with pytest.raises(StopIteration) as parsed:
        next(Frame.parse(reader.read_exact, mask=False, max_size=None))
    frame = parsed.value.value
    assert (frame.opcode, frame.data, frame.fin) == (Opcode.BINARY if binary else Opcode.TEXT, payload, True)
    assert not (frame.rsv1 or frame.rsv2 or frame.rsv3)
