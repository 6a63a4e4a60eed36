"""A control: a socket server that numbers without holding the conversation's row."""

from __future__ import annotations

from typing import Any

from tests.chat.history.broken import serve

# The database would still refuse the second event of a number.
SCHEMA = (
    "ALTER TABLE clinic.chat_event DROP PRIMARY KEY,"
    " ADD INDEX log_of_conversation (conversation_id, seq);"
)


def unlock() -> None:
    from chat.models import ConversationQuerySet

    def read_without_lock(self: Any, **_: Any) -> Any:
        return self.all()

    ConversationQuerySet.select_for_update = read_without_lock  # type: ignore[assignment]


if __name__ == "__main__":
    serve(unlock)
