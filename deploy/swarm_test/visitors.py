"""People on pages: they search, open doctors, book with a key, cancel, look, sign in.

Whoever gets an error for a booking presses the button again, with the same key, until there is an
answer; that answer must be the visit, because nobody else of the load wants that time.
"""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import time
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from deploy.swarm_test.browser import Answer, Browser, Site, Unreached
from deploy.swarm_test.records import UNREACHED, Booking, Records, Request

AGAIN_SECONDS = 1.0  # until the button is pressed again
PATIENCE_SECONDS = 90.0
PASSWORD = "sample-data-only-1"  # noqa: S105  (the sample data's, in the documentation)
CANCEL_RATE = 0.15
SIGN_IN_RATE = 0.01
STYLE = re.compile(r'href="(/static/[^"]+\.css)"')


class Visitors:
    """``pause``: seconds that a person looks at a page, on average."""

    def __init__(
        self, site: Site, world: Mapping[str, Any], records: Records, *, pause: float
    ) -> None:
        self.site = site
        self.records = records
        self.pause = pause
        self.may_write = True
        self.slots: deque[dict[str, Any]] = deque(world["slots"])
        self._sessions: list[str] = world["bookers"]
        self._slugs: list[str] = world["slugs"]
        self._specialties: list[str] = world["specialties"]
        self._signed_in = 0
        self._at_work: set[int] = set()
        self.writing = 0  # bookings and cancellations without an answer yet

    async def live(self, number: int, address: str) -> None:
        """One person after another on one device, until it is cancelled."""
        chance = random.Random(number)
        browser = Browser(self.site, address=address, chance=chance)
        await asyncio.sleep(chance.uniform(0, self.pause))
        try:
            while True:
                await self._visit(browser, chance)
        finally:
            browser.close()

    async def _visit(self, browser: Browser, chance: random.Random) -> None:
        browser.jar.session = ""
        home = await self._look(browser, chance, "/")
        specialty = quote(chance.choice(self._specialties))
        await self._look(browser, chance, f"/doctors/?specialty={specialty}")
        await self._look(browser, chance, f"/doctors/{chance.choice(self._slugs)}/")
        if home is not None and (style := STYLE.search(home.text)):
            await self._look(browser, chance, style[1], kind="static")
        if chance.random() < SIGN_IN_RATE and self.may_write:
            await self._sign_in(browser)
        slot = self._next_slot()
        if slot is None:
            return
        self._at_work.add(slot["booker"])
        try:
            await self._as_booker(browser, chance, slot)
        finally:
            self._at_work.discard(slot["booker"])

    def _next_slot(self) -> dict[str, Any] | None:
        """A time to book, of a person who does nothing else just now."""
        for _ in range(len(self.slots) if self.may_write else 0):
            slot = self.slots.popleft()
            if slot["booker"] not in self._at_work:
                return slot
            self.slots.append(slot)
        return None

    async def _as_booker(
        self, browser: Browser, chance: random.Random, slot: dict[str, Any]
    ) -> None:
        browser.jar.session = self._sessions[slot["booker"]]
        form = f"/doctors/{slot['slug']}/book/?service={slot['service']}&at={quote(slot['at'])}"
        await self._look_in_two_tabs(browser, chance)
        await self._look(browser, chance, form)
        if not self._still_writes():
            self.slots.append(slot)
            return
        self.writing += 1
        try:
            booking = await self._book(browser, slot)
            if booking.visit:
                await self._look(browser, chance, f"/appointments/{booking.visit}/")
                if chance.random() < CANCEL_RATE and self.may_write:
                    await self._cancel(browser, booking)
        finally:
            self.writing -= 1
        await self._look_in_two_tabs(browser, chance)
        self._sessions[slot["booker"]] = browser.jar.session

    async def _look_in_two_tabs(self, browser: Browser, chance: random.Random) -> None:
        """Two requests at once under one cookie, as of a page and what it fetches."""
        other = Browser(self.site, address=browser.address, chance=chance, jar=browser.jar)
        await asyncio.sleep(chance.expovariate(1 / self.pause))
        try:
            await asyncio.gather(
                self._ask(browser, "page", "GET", "/appointments/"),
                self._ask(other, "page", "GET", "/messages/unread"),
            )
        finally:
            other.close()

    def _still_writes(self) -> bool:
        return self.may_write

    async def _look(
        self, browser: Browser, chance: random.Random, path: str, *, kind: str = "page"
    ) -> Answer | None:
        await asyncio.sleep(chance.expovariate(1 / self.pause))
        return await self._ask(browser, kind, "GET", path)

    async def _ask(
        self,
        browser: Browser,
        kind: str,
        method: str,
        path: str,
        fields: Mapping[str, str] | None = None,
        *,
        expect: tuple[int, ...] = (200,),
    ) -> Answer | None:
        begun, before = time.monotonic(), browser.connects
        wrong, status, answer = "", UNREACHED, None
        try:
            answer = await (browser.get(path) if fields is None else browser.post(path, fields))
            status = answer.status
            if status not in expect:
                where = answer.headers.get("location", path.partition("?")[0])
                wrong = f"{method} {status} {where[:60]}"
            wrong = unfit(answer) or wrong
        except Unreached as error:
            wrong = f"{method} {error}"
        self.records.requests.append(
            Request(
                *(begun, time.monotonic(), kind, browser.edge, status, wrong),
                connected=browser.connects > before,
            )
        )
        return answer

    async def _book(self, browser: Browser, slot: dict[str, Any]) -> Booking:
        key = secrets.token_urlsafe(18)
        booking = Booking(key, slot["booker"], time.monotonic())
        self.records.bookings[key] = booking
        fields = {
            "service": slot["service"],
            "at": slot["at"],
            "reason": "A cough since Monday",
            "key": key,
            "action": "confirm",
            "clash": "both",
        }
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            booking.attempts += 1
            path = f"/doctors/{slot['slug']}/book/"
            answer = await self._ask(browser, "book", "POST", path, fields, expect=(302,))
            if answer is not None and answer.status == 302:
                location = answer.headers.get("location", "")
                if location.startswith("/appointments/"):
                    booking.visit = location.split("/")[2]
                    booking.acknowledged = time.monotonic()
                else:
                    booking.wrong = f"was sent to {location}"
                return booking
            if answer is not None and answer.status < 500:
                booking.wrong = f"{answer.status} at attempt {booking.attempts}"
                return booking
            await asyncio.sleep(AGAIN_SECONDS)
        booking.wrong = f"no answer in {PATIENCE_SECONDS:.0f} s"
        return booking

    async def _cancel(self, browser: Browser, booking: Booking) -> None:
        path = f"/appointments/{booking.visit}/cancel/"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = await self._ask(browser, "cancel", "POST", path, {"reason": ""}, expect=(302,))
            if answer is not None and answer.status < 500:
                where = answer.headers.get("location", "")
                booking.cancelled = answer.status == 302 and where.startswith("/appointments/")
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def sign_in_now(self, times: int, address: str) -> None:
        for number in range(times):
            browser = Browser(self.site, address=address, chance=random.Random(number))
            await self._sign_in(browser)
            browser.close()

    async def _sign_in(self, browser: Browser) -> None:
        """With a password; the sample patients in turn."""
        self._signed_in += 1
        login = f"patient{self._signed_in % 60 + 1}@example.org"
        fields = {"login": login, "password": PASSWORD}
        await self._ask(browser, "sign-in", "POST", "/accounts/login/", fields, expect=(302,))


def unfit(answer: Answer) -> str:
    """What an answer must never look like, whatever its status."""
    if b"Traceback (most recent call last)" in answer.body:
        return "a traceback"
    if answer.status == 503 and "retry-after" not in answer.headers:
        return "503 without Retry-After"
    if answer.status == 302 and "/accounts/login/" in answer.headers.get("location", ""):
        return "signed out"
    return ""
