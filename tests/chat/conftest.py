"""Who talks in the chat's tests, and over what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from chat.models import Conversation
from tests.chat.scene import Scene, make_scene
from tests.chat.wire import ChatServer, make_conversation, make_doctor_user


@pytest.fixture(autouse=True)
def _uploads(settings: Any, tmp_path: Path) -> None:
    """Files go to a folder of the test's own where they would go to the project's."""
    options = settings.STORAGES["uploads"].get("OPTIONS", {})
    if "location" in options:
        uploads = settings.STORAGES["uploads"] | {"OPTIONS": {"location": tmp_path / "uploads"}}
        settings.STORAGES = settings.STORAGES | {"uploads": uploads}


@pytest.fixture(scope="session")
def chat_server(django_db_setup: None) -> Iterator[ChatServer]:
    """One socket server for all tests that do not end it."""
    with ChatServer() as running:
        yield running


@pytest.fixture(scope="session")
def patient_server(django_db_setup: None) -> Iterator[ChatServer]:
    """The same, one that takes any number of frames."""
    with ChatServer(CHAT_FRAMES_PER_MINUTE="100000") as running:
        yield running


@pytest.fixture
def scene(alice: User, charlie: User, administrator: User) -> Scene:
    return make_scene(alice=alice, charlie=charlie, administrator=administrator)


@pytest.fixture
def amara(db: None) -> User:
    """Alice's doctor."""
    return make_doctor_user()


@pytest.fixture
def talk(alice: User, amara: User) -> Conversation:
    """Alice's conversation with her doctor."""
    return make_conversation(alice, amara)
