"""What bounds one socket."""

from __future__ import annotations

from chat.transports.consumer import ChatConsumer
from chat.transports.limits import AckWindow


async def test_the_window_of_acks_counts_bytes_and_not_characters() -> None:
    """Four bytes a character: four times the memory that was meant."""
    consumer = ChatConsumer()
    consumer.window = AckWindow(frames=32, size=1_000)
    sent: list[str] = []

    async def send(
        text_data: str | None = None, bytes_data: bytes | None = None, close: bool = False
    ) -> None:
        sent.append(text_data or "")

    consumer.send = send  # type: ignore[method-assign]
    await consumer._send_html("\N{GRINNING FACE}" * 250)
    assert not await consumer.window.room(0)
    consumer.window.acked(1)
    assert await consumer.window.room(0)
    assert len(sent) == 1
