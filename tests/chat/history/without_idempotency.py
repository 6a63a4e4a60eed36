"""A control: a socket server that does not know a client_id again."""

from __future__ import annotations

from typing import Any

from tests.chat.history.broken import serve

# The database would still refuse the second row. MariaDB wants an index for the foreign key.
SCHEMA = (
    "CREATE INDEX senders ON clinic.chat_event (sender_id);"
    "ALTER TABLE clinic.chat_event DROP INDEX one_event_per_client_id;"
)


def forget() -> None:
    from chat import log

    read = log._read

    class Forgetful(dict[Any, Any]):
        def get(self, key: Any, default: Any = None) -> Any:
            return None

    def read_and_forget(*arguments: Any) -> Any:
        batch = read(*arguments)
        batch.known = Forgetful(batch.known)
        return batch

    log._read = read_and_forget  # type: ignore[assignment]


if __name__ == "__main__":
    serve(forget)
