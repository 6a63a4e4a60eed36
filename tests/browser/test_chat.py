"""UX 22 to 30 and what users of such chats complain about, with two people in two browsers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, FilePayload, Page, Route, WebSocketRoute, expect

from tests.browser.conftest import DESKTOP, PHONE, OpenPage
from tests.browser.people import run
from tests.browser.talks import (
    Talk,
    Talks,
    act,
    bodies,
    composer,
    connected,
    enter,
    message,
    say,
    state,
)
from tests.files import HTML, jpeg, pdf, png
from tests.site import Site

SOCKET = re.compile(r"/ws/chat/$")
LOST_MS = 20_000  # an answer that never comes is missed after 10 s, then asked for again


@pytest.fixture(scope="session")
def talks(site: Site) -> Talks:
    return Talks.of(site)


@pytest.fixture
def talk(talks: Talks) -> Talk:
    return talks.fresh()


@pytest.fixture
def pair(talk: Talk, open_page: OpenPage) -> tuple[Page, Page]:
    """The patient at a laptop and the doctor with a phone, both in their conversation."""
    return (
        enter(open_page(person=talk.patient), talk),
        enter(open_page(person=talk.doctor, width=PHONE), talk),
    )


# --- Talking


def test_two_people_talk(pair: tuple[Page, Page]) -> None:
    patient, doctor = pair
    say(patient, "Good morning")
    expect(message(doctor, "Good morning")).to_contain_text("Maya Lind")
    expect(state(patient, "Good morning")).to_have_text(re.compile(r"^(Sent|Delivered|Seen)"))
    doctor.bring_to_front()
    doctor.locator("[data-log]").click()
    expect(state(patient, "Good morning")).to_have_text(
        re.compile(r"^Seen by Dr\. \d+, \d+:\d\d [ap]m$")
    )

    composer(doctor).press_sequentially("Hel")
    expect(patient.locator("p[data-typing]")).to_have_text(re.compile(r"Dr\. \d+ is writing…"))
    say(doctor, "Hello Maya")
    expect(message(patient, "Hello Maya")).to_be_visible()
    expect(patient.locator("p[data-typing]")).to_be_empty()
    assert bodies(patient) == bodies(doctor) == ["Good morning", "Hello Maya"]


def test_typing_ends_by_itself(pair: tuple[Page, Page]) -> None:
    patient, doctor = pair
    composer(doctor).press_sequentially("H")
    expect(patient.locator("p[data-typing]")).not_to_be_empty()
    expect(patient.locator("p[data-typing]")).to_be_empty(timeout=9_000)


def test_a_message_is_answered_changed_and_deleted(pair: tuple[Page, Page]) -> None:
    patient, doctor = pair
    say(patient, "I took 2 tablets")
    say(patient, "At night")
    expect(message(doctor, "At night")).to_be_visible()

    doctor.locator("li.message").first.click()
    doctor.get_by_role("link", name=re.compile("^Reply")).first.click()
    say(doctor, "One is enough")
    expect(message(patient, "One is enough").locator("[data-quote]")).to_contain_text(
        "I took 2 tablets"
    )

    act(patient, "I took 2 tablets", "edit")
    expect(composer(patient)).to_have_value("I took 2 tablets")
    composer(patient).fill("I took one tablet")
    patient.get_by_role("button", name="Save", exact=True).click()
    expect(message(doctor, "I took one tablet")).to_contain_text("edited")
    expect(message(doctor, "One is enough").locator("[data-quote]")).to_contain_text("one tablet")
    expect(patient.get_by_role("button", name="Send", exact=True)).to_be_visible()

    act(patient, "At night", "delete")
    patient.get_by_role("button", name="Keep it").click()
    expect(message(patient, "At night")).to_be_visible()
    act(patient, "At night", "delete")
    message(patient, "At night").get_by_role("button", name="Delete", exact=True).click()
    for page in pair:
        expect(message(page, "Message deleted")).to_be_visible()
        expect(message(page, "At night")).to_have_count(0)
        told = page.request.get(f"{urlsplit(page.url).path}events?after=0").text()
        assert "One is enough" in told and "At night" not in told


def test_others_messages_cannot_be_changed(pair: tuple[Page, Page], talk: Talk) -> None:
    patient, doctor = pair
    say(patient, "Mine")
    row = message(doctor, "Mine")
    row.click()
    expect(row.locator("[data-reply]")).to_be_visible()
    for name in ("edit", "delete"):
        expect(row.locator(f"[data-{name}]")).to_be_hidden()
    # After 15 minutes the own message can be deleted only.
    run(
        talk.site,
        "UPDATE chat_event SET at = datetime(at, '-16 minutes') WHERE conversation_id = ?",
        talk.pk,
    )
    enter(patient, talk)
    message(patient, "Mine").hover()
    expect(message(patient, "Mine").locator("[data-delete]")).to_be_visible()
    expect(message(patient, "Mine").locator("[data-edit]")).to_be_hidden()


def test_later_messages_are_said_and_the_history_is_not(
    pair: tuple[Page, Page], talk: Talk
) -> None:
    patient, doctor = pair
    say(doctor, "Before")
    expect(message(patient, "Before")).to_be_visible()
    enter(patient, talk)
    said = patient.locator("[data-thread] > [role=status].govuk-visually-hidden")
    expect(message(patient, "Before")).to_be_visible()
    expect(said).to_be_empty()
    say(patient, "My own")
    say(doctor, "After")
    expect(said).to_have_text(re.compile(r"Dr\. Iris Vance \d+: After$"))
    expect(patient.get_by_role("log")).to_have_attribute("aria-live", "off")
    assert patient.evaluate("document.querySelector('[role=log]').tagName") == "DIV"


def test_enter_sends_at_a_keyboard_and_begins_a_line_on_a_phone(
    talk: Talk, open_page: OpenPage
) -> None:
    laptop = enter(open_page(person=talk.patient), talk)
    composer(laptop).fill("One")
    composer(laptop).press("Shift+Enter")
    composer(laptop).press_sequentially("Two")
    composer(laptop).press("Enter")
    expect(message(laptop, "One\nTwo")).to_be_visible()

    phone = enter(open_page(person=talk.doctor, width=PHONE, has_touch=True, is_mobile=True), talk)
    composer(phone).fill("Three")
    composer(phone).press("Enter")
    composer(phone).press_sequentially("Four")
    expect(composer(phone)).to_have_value("Three\nFour")
    phone.get_by_role("button", name="Send", exact=True).tap()
    expect(message(laptop, "Three\nFour")).to_be_visible()
    assert talk.stored() == ["One\nTwo", "Three\nFour"]


# --- Networks


def test_offline_messages_wait_and_are_sent_once_in_order(
    pair: tuple[Page, Page], talk: Talk
) -> None:
    patient, doctor = pair
    patient.context.set_offline(True)
    say(patient, "First")
    say(patient, "Second")
    for text in ("First", "Second"):
        expect(state(patient, text)).to_have_text("Not sent. You are offline.")
    expect(message(patient, "First").get_by_role("button", name="Try again")).to_be_visible()
    expect(patient.locator("[data-connection]")).to_have_text(
        "You are offline. We will reconnect and keep what you typed."
    )
    say(patient, "Third")
    message(patient, "Second").get_by_role("button", name="Delete", exact=True).click()
    expect(message(patient, "Second")).to_have_count(0)
    assert talk.stored() == []

    patient.context.set_offline(False)
    expect(state(patient, "Third")).to_have_text(re.compile(r"^(Sent|Delivered|Seen)"))
    expect(message(doctor, "Third")).to_be_visible()
    expect(patient.locator("[data-connection]")).to_be_empty()
    assert talk.stored() == bodies(patient) == bodies(doctor) == ["First", "Third"]


class Cut:
    """A network that can be cut: sockets end at once, and pages cannot post."""

    def __init__(self, context: BrowserContext) -> None:
        self.is_cut = False
        self.dropped: list[str] = []
        self._open: list[WebSocketRoute] = []
        context.route_web_socket(SOCKET, self._socket)
        context.route("**/*", self._request)

    def cut(self) -> None:
        self.is_cut = True
        for socket in self._open:
            socket.close()
        self._open.clear()

    def mend(self) -> None:
        self.is_cut = False

    def _socket(self, socket: WebSocketRoute) -> None:
        if self.is_cut:
            socket.close()
        else:
            self._open.append(socket)
            socket.connect_to_server()

    def _request(self, route: Route) -> None:
        if self.is_cut and route.request.resource_type in {"fetch", "xhr"}:
            route.abort()
        else:
            route.continue_()


def test_what_was_not_sent_survives_a_reload(talk: Talk, open_page: OpenPage) -> None:
    page = open_page(person=talk.patient)
    network = Cut(page.context)
    enter(page, talk)
    network.cut()
    say(page, "Written in the tunnel")
    composer(page).fill("Half a sent")
    page.wait_for_timeout(500)  # typed text is kept after a moment
    page.reload()
    assert talk.stored() == []
    network.mend()
    page.reload()
    expect(state(page, "Written in the tunnel")).to_have_text(re.compile(r"^(Sent|Delivered)"))
    expect(composer(page)).to_have_value("Half a sent")
    assert talk.stored() == bodies(page) == ["Written in the tunnel"]


def test_what_was_not_sent_goes_out_from_any_page(talk: Talk, open_page: OpenPage) -> None:
    page = open_page(person=talk.patient)
    network = Cut(page.context)
    enter(page, talk)
    network.cut()
    say(page, "Written in the tunnel")
    expect(state(page, "Written in the tunnel")).to_have_text(re.compile("^Not sent"))
    page.goto("/appointments/")
    assert talk.stored() == []
    network.mend()
    page.reload()
    # Acknowledged, or the device would keep it.
    page.wait_for_function("() => !Object.keys(localStorage).some((key) => key.includes('.out.'))")
    assert talk.stored() == ["Written in the tunnel"]
    enter(page, talk)
    assert talk.stored() == bodies(page) == ["Written in the tunnel"]


def test_a_server_that_is_killed_loses_and_doubles_nothing(
    pair: tuple[Page, Page], talk: Talk, site: Site
) -> None:
    patient, doctor = pair
    say(patient, "Before")
    expect(message(doctor, "Before")).to_be_visible()
    site.kill()
    say(patient, "While it is away")
    expect(patient.locator("[data-connection]")).to_have_text("Connecting again…")
    expect(state(patient, "While it is away")).to_have_text("Not sent yet. We keep trying.")
    site.serve()
    for page in pair:
        expect(message(page, "While it is away")).to_be_visible(timeout=40_000)
        expect(page.locator("[data-connection]")).to_be_empty(timeout=40_000)
    expect(state(patient, "While it is away")).to_have_text(
        re.compile(r"^(Sent|Delivered|Seen)"), timeout=40_000
    )
    assert talk.stored() == bodies(patient) == bodies(doctor) == ["Before", "While it is away"]


def test_a_lost_answer_does_not_double_the_message(talk: Talk, open_page: OpenPage) -> None:
    page = open_page(person=talk.patient)
    lost: list[str] = []

    def through(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def back(text: str | bytes) -> None:
            if len(lost) < 2 and re.search(r'"type":"(ack|message)"', str(text)):
                lost.append(str(text))
            else:
                socket.send(text)

        server.on_message(back)

    page.route_web_socket(SOCKET, through)
    enter(page, talk)
    say(page, "Only once")
    expect(state(page, "Only once")).to_have_text("Sending")
    expect(state(page, "Only once")).to_have_text(re.compile(r"^(Sent|Delivered)"), timeout=LOST_MS)
    assert len(lost) == 2
    assert talk.stored() == bodies(page) == ["Only once"]


def test_a_missed_event_is_noticed_by_the_next_and_asked_for(
    talk: Talk, open_page: OpenPage
) -> None:
    page = open_page(person=talk.patient)
    dropped: list[str] = []

    def through(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def back(text: str | bytes) -> None:
            if str(text).startswith('{"type":"message"') and "Lost on the way" in str(text):
                dropped.append(str(text))
            else:
                socket.send(text)

        server.on_message(back)

    page.route_web_socket(SOCKET, through)
    enter(page, talk)
    doctor = enter(open_page(person=talk.doctor), talk)
    say(doctor, "Lost on the way")
    expect(state(doctor, "Lost on the way")).to_have_text(re.compile(r"^(Sent|Delivered|Seen)"))
    say(doctor, "The next one")
    expect(message(page, "The next one")).to_be_visible()
    assert bodies(page) == ["Lost on the way", "The next one"]
    assert len(dropped) == 1


def test_a_device_that_was_away_catches_up(
    pair: tuple[Page, Page], talk: Talk, open_page: OpenPage
) -> None:
    patient, doctor = pair
    tablet = enter(open_page(person=talk.patient, width=820), talk)
    say(patient, "One")
    expect(message(tablet, "One")).to_be_visible()
    tablet.context.set_offline(True)
    say(doctor, "Two")
    expect(message(patient, "Two")).to_be_visible()
    say(patient, "Three")
    expect(message(doctor, "Three")).to_be_visible()
    act(patient, "One", "edit")
    composer(patient).fill("One, corrected")
    patient.get_by_role("button", name="Save", exact=True).click()
    expect(message(doctor, "One, corrected")).to_be_visible()
    assert bodies(tablet) == ["One"]
    tablet.context.set_offline(False)
    expect(message(tablet, "Three")).to_be_visible()
    assert bodies(tablet) == bodies(patient) == ["One, corrected", "Two", "Three"]


def test_without_a_socket_messages_come_by_asking(talk: Talk, open_page: OpenPage) -> None:
    page = open_page(person=talk.patient)
    page.add_init_script("window.WebSocket = class { constructor() { throw new Error('no'); } }")
    page.goto(talk.address)
    expect(page.locator(".chat--live")).to_be_visible()
    doctor = enter(open_page(person=talk.doctor), talk)
    say(doctor, "Can you read this?")
    expect(message(page, "Can you read this?")).to_be_visible(timeout=15_000)
    expect(page.locator("[data-connection]")).to_be_empty()
    say(page, "I can")
    expect(state(page, "I can")).to_have_text(re.compile(r"^(Sent|Delivered|Seen)"))
    expect(message(doctor, "I can")).to_be_visible()
    expect(state(doctor, "Can you read this?")).to_have_text(re.compile("^Seen by Maya"))
    assert talk.stored() == bodies(doctor) == ["Can you read this?", "I can"]


def test_without_a_socket_the_list_is_kept_up_to_date(talk: Talk, open_page: OpenPage) -> None:
    doctor = enter(open_page(person=talk.doctor), talk)
    say(doctor, "Before")
    page = open_page(person=talk.patient)
    page.add_init_script("window.WebSocket = class { constructor() { throw new Error('no'); } }")
    page.goto("/messages/")
    row = page.locator(f"li[data-conversation='{talk.id}']")
    expect(row.locator("[data-preview]")).to_have_text("Before")
    say(doctor, "Can you come earlier?")
    expect(row.locator("[data-preview]")).to_have_text("Can you come earlier?", timeout=15_000)
    expect(row.locator("[data-unread-of]")).to_have_text("2 new")
    expect(state(doctor, "Can you come earlier?")).to_have_text("Delivered")


def test_a_refused_message_holds_back_the_later_ones(pair: tuple[Page, Page], talk: Talk) -> None:
    patient, doctor = pair
    patient.evaluate(
        """([user, conversation]) => localStorage.setItem(
          `clinic.chat.${user}.out.${conversation}.00000000-0000-4000-8000-000000000001`,
          JSON.stringify({client_id: "00000000-0000-4000-8000-000000000001", conversation, n: 1,
            type: "send", at: new Date().toISOString(), body: "A reply to nothing", reply_to: 99}))
        """,
        [patient.locator("[data-chat]").get_attribute("data-user"), talk.id],
    )
    enter(patient, talk)
    expect(state(patient, "A reply to nothing")).to_have_text(
        re.compile(r"^Not sent\. The message")
    )
    say(patient, "Later")
    expect(state(patient, "Later")).to_have_text("Not sent. It waits for the message above.")
    assert talk.stored() == []
    message(patient, "A reply to nothing").get_by_role("button", name="Delete").click()
    expect(message(doctor, "Later")).to_be_visible()
    assert talk.stored() == ["Later"]


def test_a_silent_line_is_given_up_after_35_seconds(talk: Talk, open_page: OpenPage) -> None:
    page = open_page(person=talk.patient)
    opened: list[WebSocketRoute] = []
    is_mute = False

    def through(socket: WebSocketRoute) -> None:
        opened.append(socket)
        server = socket.connect_to_server()
        first = len(opened) == 1
        server.on_message(lambda text: None if is_mute and first else socket.send(text))

    page.route_web_socket(SOCKET, through)
    page.clock.install()
    enter(page, talk)
    is_mute = True
    page.clock.run_for(34_000)
    expect(page.locator("[data-chat]")).to_have_attribute("data-line", "up")
    assert len(opened) == 1
    page.clock.run_for(1_500)
    expect(page.locator("[data-chat]")).to_have_attribute("data-line", "down")
    page.clock.run_for(600)  # the first attempt comes within half a second
    connected(page)
    assert len(opened) == 2


def test_a_restored_database_is_read_anew(talk: Talk, open_page: OpenPage, site: Site) -> None:
    page = open_page(person=talk.patient)
    network = Cut(page.context)
    enter(page, talk)
    page.evaluate("window.isOld = true")
    network.cut()
    run(site, "UPDATE chat_epoch SET value = value || 'x'")
    network.mend()
    expect(page.locator("[data-chat][data-line=up]")).to_be_visible()
    for _ in range(100):
        if page.evaluate("window.isOld") is None:
            break
        page.wait_for_timeout(100)
    assert page.evaluate("window.isOld") is None


def test_who_loses_access_sees_nothing_any_more(pair: tuple[Page, Page], talk: Talk) -> None:
    patient, doctor = pair
    say(patient, "Between us")
    expect(message(doctor, "Between us")).to_be_visible()
    other = "(SELECT MIN(id) FROM directory_doctor)"
    run(
        talk.site,
        f"UPDATE chat_conversation SET doctor_id = {other} WHERE id = ?",  # noqa: S608
        talk.pk,
    )
    expect(doctor.locator("[data-connection]")).to_have_text(
        "You no longer take part in this conversation.", timeout=15_000
    )
    expect(doctor.locator("li.message")).to_have_count(0)
    expect(composer(doctor)).to_have_count(0)
    expect(message(patient, "Between us")).to_be_visible()


def test_a_conversation_that_the_welcome_does_not_name_stays(
    talk: Talk, open_page: OpenPage
) -> None:
    """It names the newest only: reception has thousands."""
    page = open_page(person=talk.patient)

    def through(socket: WebSocketRoute) -> None:
        def shortened(text: str | bytes) -> None:
            frame = json.loads(text)
            if frame["type"] == "welcome":
                frame["conversations"] = []
            socket.send(json.dumps(frame))

        socket.connect_to_server().on_message(shortened)

    page.route_web_socket(SOCKET, through)
    enter(page, talk)
    page.wait_for_timeout(1_000)  # the page has asked about it
    say(page, "Still here")
    expect(state(page, "Still here")).to_have_text(re.compile(r"^(Sent|Delivered)"))
    expect(page.locator("[data-connection]")).to_be_empty()


def test_a_disabled_account_is_signed_out(pair: tuple[Page, Page], talk: Talk) -> None:
    patient, _doctor = pair
    run(talk.site, "UPDATE accounts_user SET is_active = 0 WHERE email = ?", talk.patient)
    line = patient.locator("[data-connection]")
    expect(line).to_contain_text("You are signed out", timeout=15_000)
    expect(line.get_by_role("link", name="Sign in")).to_be_visible()


# --- Files


def file(name: str, kind: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": kind, "buffer": content}


def test_a_photo_is_sent_with_progress_and_shown_small(pair: tuple[Page, Page]) -> None:
    patient, doctor = pair
    photo = file("rash.jpg", "image/jpeg", jpeg((1600, 1200)))
    patient.get_by_label("Add a photo or PDF").set_input_files([photo])
    expect(patient.locator("[data-file-state]")).to_contain_text("rash.jpg is attached.")
    say(patient, "This is my arm")
    for page in pair:
        image = message(page, "This is my arm").locator("img")
        expect(image).to_be_visible()
        expect(image).to_have_js_property("complete", True)
        assert 0 < image.evaluate("image => image.naturalWidth") < 1600
        expect(message(page, "This is my arm")).to_contain_text("rash.jpg")
    expect(patient.locator("[data-file-state]")).to_be_hidden()
    with doctor.expect_download() as download:
        message(doctor, "This is my arm").locator("a.file").click()
    assert download.value.suggested_filename.startswith("rash")

    # A file needs no words, and a reload shows it as the server writes it.
    patient.get_by_label("Add a photo or PDF").set_input_files(
        [file("plan.pdf", "application/pdf", pdf())]
    )
    patient.get_by_role("button", name="Send", exact=True).click()
    expect(doctor.locator("li.message a.file", has_text="plan.pdf")).to_be_visible()


def test_an_upload_shows_its_progress_and_can_be_tried_again(
    talk: Talk, open_page: OpenPage
) -> None:
    page = enter(open_page(person=talk.patient), talk)
    uploads = re.compile("/attachments/$")
    held: list[Route] = []
    page.route(uploads, lambda route: held.append(route))
    chosen = page.get_by_label("Add a photo or PDF")
    chosen.set_input_files([file("arm.png", "image/png", png())])
    shown = page.locator("[data-file-state]")
    expect(shown).to_contain_text(re.compile(r"Uploading arm\.png: \d+ %"))
    expect(page.locator("progress[data-progress]")).to_be_visible()
    say(page, "Sent before it was there")  # goes out when the file is up
    held[0].abort()
    expect(shown).to_contain_text("could not be uploaded")
    page.unroute(uploads)
    shown.get_by_role("button", name="Try again").click()
    expect(shown).to_contain_text("arm.png is attached.")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(message(page, "Sent before it was there").locator("img")).to_be_visible()
    expect(state(page, "Sent before it was there")).to_have_text(re.compile("^(Sent|Delivered)"))
    assert talk.stored() == ["Sent before it was there"]


def test_a_refused_file_has_its_sentence(talk: Talk, open_page: OpenPage) -> None:
    page = enter(open_page(person=talk.patient), talk)
    page.get_by_label("Add a photo or PDF").set_input_files([file("arm.jpg", "image/jpeg", HTML)])
    shown = page.locator("[data-file-state]")
    expect(shown).to_contain_text(re.compile(r"\w+ .*\."))
    expect(shown.get_by_role("button", name="Try again")).to_have_count(0)
    shown.get_by_role("button", name="Remove file").click()
    expect(shown).to_be_hidden()
    say(page, "Without it")
    expect(state(page, "Without it")).to_have_text(re.compile("^(Sent|Delivered)"))


# --- Reading


def test_the_unread_count_is_live_on_every_page(talk: Talk, open_page: OpenPage) -> None:
    doctor = enter(open_page(person=talk.doctor), talk)
    page = open_page(person=talk.patient)
    page.goto("/doctors/")
    link = page.get_by_role("navigation", name="Main").get_by_role("link", name="Messages")
    name = page.title()
    assert not name.startswith("(")
    page.wait_for_timeout(1_000)  # the socket of a page that shows nothing of it
    say(doctor, "Your results are in")
    expect(link).to_have_text("Messages(1)")
    expect(page).to_have_title(f"(1) {name}")
    say(doctor, "And they are fine")
    page.wait_for_timeout(1_500)
    expect(link).to_have_text("Messages(1)")  # conversations, not messages

    reading = enter(open_page(person=talk.patient), talk)
    reading.bring_to_front()
    reading.locator("[data-log]").click()
    expect(link).to_have_text("Messages")
    expect(page).to_have_title(name)
    expect(reading).to_have_title(re.compile(r"^Dr\. Iris Vance"))


def test_new_messages_do_not_move_what_is_read(talk: Talk, open_page: OpenPage) -> None:
    talk.fill(80)
    patient = enter(open_page(person=talk.patient), talk)
    doctor = enter(open_page(person=talk.doctor), talk)
    expect(message(patient, "Message number 80")).to_be_in_viewport()
    patient.locator("[data-log]").evaluate("box => { box.scrollTop -= 1500; }")
    patient.wait_for_timeout(300)
    before = patient.locator("[data-log]").evaluate("box => box.scrollTop")
    assert before > 100
    for text in ("Please read this", "And this"):
        say(doctor, text)
        expect(state(doctor, text)).to_have_text(re.compile(r"^(Sent|Delivered)"))
    button = patient.get_by_role("button", name="2 new messages")
    expect(button).to_be_visible()
    assert patient.locator("[data-log]").evaluate("box => box.scrollTop") == before
    patient.wait_for_timeout(1_500)
    assert "Seen" not in state(doctor, "And this").inner_text()  # nobody has seen them yet
    button.click()
    expect(message(patient, "And this")).to_be_in_viewport()
    expect(patient.locator("[data-new-below]")).to_be_hidden()
    expect(state(doctor, "And this")).to_have_text(re.compile("^Seen by Maya"))


def test_ten_thousand_messages_are_two_hundred_on_the_page(talk: Talk, open_page: OpenPage) -> None:
    talk.fill(10_000)
    page = enter(open_page(person=talk.patient), talk)
    rows = page.locator("li.message")
    box = page.locator("[data-log]")
    expect(message(page, "Message number 10000")).to_be_in_viewport()
    seen = set()
    for _ in range(60):
        box.evaluate("box => { box.scrollTop = 0; }")
        page.wait_for_timeout(60)
        assert rows.count() <= 200
        seen.update(bodies(page))
        if "Message number 9000" in seen:
            break
    numbers = sorted(int(text.rpartition(" ")[2]) for text in seen)
    assert numbers[0] <= 9_000
    assert numbers == list(range(numbers[0], 10_001))  # none is left out on the way
    say(page, "Down here")
    expect(message(page, "Down here")).to_be_in_viewport()
    assert rows.count() <= 202


# --- Pages


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_accessible_and_send_is_in_sight(
    talk: Talk,
    open_page: OpenPage,
    axe: Callable[[Page], None],
    shot: Callable[[Page, str], Path],
    width: int,
    scheme: str,
) -> None:
    patient = enter(open_page(person=talk.patient, width=width, color_scheme=scheme), talk)
    doctor = enter(open_page(person=talk.doctor, width=width, color_scheme=scheme), talk)
    for text in ("Good morning Maya.", "Have you slept?"):
        say(doctor, text)
    say(patient, "Yes, see https://example.org/sleep")
    expect(message(doctor, "Yes, see https://example.org/sleep")).to_be_visible()
    patient.context.set_offline(True)
    say(patient, "And this morning 139/86.")
    expect(patient.locator("[data-connection]")).not_to_be_empty()
    for page, who in ((patient, "patient"), (doctor, "doctor")):
        expect(page.get_by_role("button", name="Send", exact=True)).to_be_in_viewport(ratio=1)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        axe(page)
        page.screenshot(path=shot(page, f"chat-{who}-{width}-{scheme}"))
    patient.context.set_offline(False)
    expect(state(patient, "And this morning 139/86.")).not_to_have_text(re.compile("^Not sent"))
    doctor.goto("/messages/")
    expect(doctor.get_by_role("heading", level=1, name="Messages")).to_be_visible()
    axe(doctor)
    shot(doctor, f"chat-list-{width}-{scheme}")


def test_the_narrowest_phone_needs_no_sideways_scroll(talk: Talk, open_page: OpenPage) -> None:
    page = enter(open_page(person=talk.patient, width=320), talk)
    say(page, "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 3)
    expect(page.locator("li.message")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(
        "(box => box.scrollWidth <= box.clientWidth)(document.querySelector('[data-log]'))"
    )


def test_the_composer_grows_and_stays_in_sight(talk: Talk, open_page: OpenPage) -> None:
    page = enter(open_page(person=talk.patient, width=PHONE), talk)
    one_line = composer(page).bounding_box()
    composer(page).fill("\n".join(str(number) for number in range(40)))
    grown = composer(page).bounding_box()
    assert one_line is not None and grown is not None
    assert one_line["height"] < 60 < grown["height"] < 300
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_in_viewport(ratio=1)
    # A keyboard takes the lower half of the screen.
    page.set_viewport_size({"width": PHONE, "height": 420})
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_in_viewport(ratio=1)
    expect(composer(page)).to_be_in_viewport(ratio=1)


def test_too_long_and_empty_have_their_sentences(talk: Talk, open_page: OpenPage) -> None:
    page = enter(open_page(person=talk.patient), talk)
    say(page, "   ")
    expect(page.get_by_role("alert")).to_have_text("Write a message, then choose Send.")
    say(page, "😀" * 4_001)
    expect(page.get_by_role("alert")).to_contain_text("4,001")
    assert len(composer(page).input_value()) == 4_001
    say(page, "😀" * 4_000)
    expect(state(page, "😀" * 4_000)).to_have_text(re.compile("^(Sent|Delivered)"))
    assert talk.stored() == ["😀" * 4_000]


CORPUS = [
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    '"><svg onload=window.ran=1>',
    "javascript:window.ran=1",
    'https://example.org/" onmouseover="window.ran=1',
    "http://javascript:window.ran=1@example.org/'><b>",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "</textarea><script>window.ran=1</script>",
    "<a href='data:text/html,<script>window.ran=1</script>'>x</a>",
    "data:text/html;base64,PHNjcmlwdD4=",
    "https://example.org/\u202egnp.exe",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
]


def test_s27_what_people_write_is_never_run(pair: tuple[Page, Page], talk: Talk) -> None:
    patient, doctor = pair
    for text in CORPUS:
        say(patient, text)
    expect(message(doctor, CORPUS[-1])).to_be_visible(timeout=30_000)
    act(patient, CORPUS[-1], "reply")
    say(patient, "A reply to it")
    expect(message(doctor, "A reply to it")).to_be_visible()
    for page in pair:
        assert bodies(page)[:-1] == CORPUS
        enter(page, talk)  # once more, as the server writes it
        assert bodies(page)[:-1] == CORPUS
        page.goto("/messages/")
        for link in page.locator("[data-body] a").all():
            assert re.match(r"https?://", link.get_attribute("href") or "")
        assert page.evaluate("window.ran") is None


# --- Leaving


def test_signing_out_leaves_nothing_on_the_device(pair: tuple[Page, Page], talk: Talk) -> None:
    patient, _doctor = pair
    composer(patient).fill("Something private")
    patient.wait_for_timeout(500)
    other_tab = patient.context.new_page()
    enter(other_tab, talk)
    expect(composer(other_tab)).to_have_value("Something private")
    assert patient.evaluate("Object.keys(localStorage).length") > 0
    patient.get_by_role("button", name="Sign out").first.click()
    patient.wait_for_load_state()
    expect(other_tab.locator("[data-connection]")).to_contain_text("You are signed out")
    expect(other_tab.locator("[data-connection]").get_by_role("link")).to_have_attribute(
        "href", re.compile("/accounts/login/")
    )
    other_tab.close()
    patient.goto("/")
    left = patient.evaluate("Object.keys(localStorage)")
    assert [key for key in left if key.startswith("clinic.chat.")] == []


def test_another_person_on_the_same_device_finds_nothing(
    talk: Talk, talks: Talks, open_page: OpenPage, site: Site
) -> None:
    page = enter(open_page(person=talk.patient), talk)
    composer(page).fill("Something private")
    page.wait_for_timeout(500)
    other = talks.fresh()
    page.context.add_cookies([{"name": "session", "value": other.patient.session, "url": site.url}])
    page.goto("/messages/")
    expect(page.get_by_role("heading", level=1, name="Messages")).to_be_visible()
    page.wait_for_timeout(300)
    assert "private" not in page.evaluate("JSON.stringify({...localStorage})")


# --- Without JavaScript


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_without_a_script_people_talk_by_pages(talk: Talk, open_page: OpenPage, width: int) -> None:
    patient = open_page(person=talk.patient, width=width, javascript=False)
    doctor = enter(open_page(person=talk.doctor), talk)
    patient.goto(talk.address)
    composer(patient).fill("Hello, without a script")
    patient.get_by_role("button", name="Send", exact=True).click()
    expect(message(doctor, "Hello, without a script")).to_be_visible()
    say(doctor, "I can read you")
    expect(state(doctor, "I can read you")).to_have_text("Sent")
    patient.get_by_role("button", name="Check for new messages").click()
    expect(message(patient, "I can read you")).to_be_visible()
    patient.get_by_role("button", name="Check for new messages").click()
    expect(state(doctor, "I can read you")).to_have_text(re.compile("^Seen by Maya"))
    assert talk.stored() == ["Hello, without a script", "I can read you"]
