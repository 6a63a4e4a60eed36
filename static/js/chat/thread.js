// The pages of messages: puts the tab's connection, outbox, list and open conversation together.

import { HEADS, of } from "./addresses.js";
import { connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { SignedOut, getJson, post } from "./http.js";
import { List } from "./list.js";
import { Marks } from "./marks.js";
import { outboxOver } from "./sending.js";
import { Times } from "./times.js";
import { words } from "./words.js";

const SAY_DOWN_AFTER_MS = 3_000;
const POLL_MS = 5_000;
const POLL_HIDDEN_MS = 30_000;
const NOT_FOUND = 404; // of a conversation: one takes no part (any more)
const LIST_AT_ONCE = 5; // conversations
const LIST_EVENTS = 200; // the most that the server gives at once

const page = document.querySelector("[data-chat]").dataset;
const note = document.querySelector("[data-connection]");
const listRoot = document.querySelector("[data-conversations]");

const line = connection();
const times = new Times(page.zone);
const outbox = outboxOver(line, page.user, signedOut);
const marks = new Marks(tellMark);
const list = listRoot && new List(listRoot, page.user, times);
const open = page.conversation && document.querySelector("[data-log]")
  ? new Conversation(page, { line, outbox, marks, list, times })
  : null;

const askedUpTo = new Map(); // conversation → its end at the last poll that asked for it
let epoch = null;
let isPolling = false;
let pollTimer = 0;
let downTimer = 0;
let isFine = true;

// --- Out

function tellMark(kind, conversation, seq) {
  if (line.send({ type: kind, conversation, seq })) return true;
  if (!line.isBlocked) return false;
  post(of(conversation, "marks/"), { [kind]: seq }).catch(() => {});
  return true;
}

outbox.addEventListener("change", ({ detail }) => {
  if (detail === page.conversation) open?.outboxChanged();
});
outbox.addEventListener("sent", ({ detail: { act, ack } }) => {
  if (act.conversation === page.conversation) open?.sent(act, ack);
});

// --- In

const HANDLERS = {
  message: event,
  edited: event,
  deleted: event,
  notice: event,
  error: (frame) => {
    // A question or a mark was not taken; which one, nobody says.
    if (!frame.client_id && frame.retry_after_ms) setTimeout(positionAgain, frame.retry_after_ms);
  },
  history: (frame) => {
    for (const each of frame.events) list?.take(each);
    if (frame.conversation === page.conversation) open?.history(frame);
    else if (frame.more) sync(frame.conversation, frame.events.at(-1).seq);
    else delivered(frame.conversation);
  },
  pong: (frame) => heads(Object.entries(frame.heads)),
  delivered: mark,
  read: mark,
  typing: (frame) => frame.conversation === page.conversation && open?.typing(frame.user),
  presence: (frame) => frame.conversation === page.conversation && open?.presence(frame),
};

line.addEventListener("frame", ({ detail: frame }) => HANDLERS[frame.type]?.(frame));

function event(frame) {
  if (frame.conversation === page.conversation) open?.take(frame);
  list?.take(frame);
  if (frame.conversation !== page.conversation) delivered(frame.conversation);
}

function positionAgain() {
  open?.answerLost();
  marks.again();
  line.send({ type: "ping" }); // the pong says where conversations end
}

function delivered(conversation) {
  if (list) marks.delivered(conversation, list.lastSeq(conversation));
}

function mark(frame) {
  if (frame.user === page.user && frame.type === "read") list?.read(frame.conversation, frame.seq);
  if (frame.conversation === page.conversation) open?.mark(frame);
}

// Where conversations end, by the server's word: whatever is beyond what we know is asked for.
function heads(all) {
  const own = all.find(([id]) => id === page.conversation);
  if (own) open?.head(own[1]);
  for (const [id, after] of list?.behind(all) ?? []) {
    if (id !== page.conversation && list.has(id)) sync(id, after);
  }
}

function sync(conversation, after) {
  line.send({ type: "sync", conversation, after, limit: 200 });
}

line.addEventListener("up", ({ detail }) => welcomed(detail));

function welcomed(welcome) {
  const isOther = welcome.user !== page.user;
  // A restored database or another person: nothing on this page is true any more.
  if (isOther || (epoch !== null && epoch !== welcome.epoch)) {
    location.reload();
    return;
  }
  epoch = welcome.epoch;
  // The welcome names the newest conversations only; about another one the server is asked.
  if (open && !welcome.conversations.some((each) => each.id === page.conversation)) askForOpen();
  outbox.restart();
  marks.again();
  heads(welcome.conversations.map((each) => [each.id, each.last_seq]));
  outbox.flush();
  stopPolling();
  showLine();
}

line.addEventListener("down", () => {
  open?.lineLost();
  showLine();
});
line.addEventListener("ended", signedOut);
line.addEventListener("blocked", startPolling);
addEventListener("online", showLine);
addEventListener("offline", showLine);

async function askForOpen() {
  try {
    await open.poll();
  } catch (error) {
    if (error instanceof SignedOut) signedOut();
    else if (error.status === NOT_FOUND) withdrawn();
  }
}

function withdrawn() {
  open.withdrawn();
  line.isEnded = true;
  say(words("withdrawn"));
}

function signedOut() {
  line.isEnded = true;
  stopPolling();
  const link = document.createElement("a");
  link.className = "govuk-link";
  link.href = `/accounts/login/?next=${encodeURIComponent(location.pathname)}`;
  link.textContent = words("signIn");
  say(words("signedOut"), link);
}

// --- Without a socket

function startPolling() {
  if (isPolling || line.isEnded) return;
  isPolling = true;
  poll().then(() => marks.again());
}

function stopPolling() {
  isPolling = false;
  clearTimeout(pollTimer);
}

async function poll() {
  let worked = false;
  try {
    if (navigator.onLine !== false) {
      await open?.poll();
      await pollList();
      worked = true;
    }
  } catch (error) {
    if (error instanceof SignedOut) signedOut();
  }
  if (!isPolling) return;
  if (worked) outbox.flush();
  showLine(worked);
  pollTimer = setTimeout(poll, document.visibilityState === "visible" ? POLL_MS : POLL_HIDDEN_MS);
}

// What is new in the other conversations, the newest first; the rest has its turn at the next poll.
async function pollList() {
  if (!list) return;
  const { heads: all } = await getJson(HEADS);
  const isNews = ([id]) => id !== page.conversation && askedUpTo.get(id) !== all[id];
  for (const [id, after] of list.behind(Object.entries(all)).filter(isNews).slice(0, LIST_AT_ONCE)) {
    askedUpTo.set(id, all[id]);
    // Of a conversation that is not on the page only its end is shown.
    const from = list.has(id) ? after : all[id] - 1;
    const { events } = await getJson(`${of(id, "events")}?after=${Math.max(from, all[id] - LIST_EVENTS)}`);
    for (const each of events) list.take(each);
    delivered(id);
  }
}

// --- The line that says when it is not fine

function showLine(polled = false) {
  page.line = line.isUp ? "up" : "down"; // for tests and for whoever looks into a problem
  if (line.isEnded) return;
  const fine = navigator.onLine !== false && (line.isUp || polled === true);
  if (fine) {
    clearTimeout(downTimer);
    downTimer = 0;
    isFine = true;
    say("");
    if (open) open.isDown = false;
    return;
  }
  if (navigator.onLine === false) open?.outboxChanged();
  if (!isFine) sayDown();
  else downTimer ||= setTimeout(sayDown, SAY_DOWN_AFTER_MS);
}

function sayDown() {
  downTimer = 0;
  isFine = false;
  say(words(navigator.onLine === false ? "offline" : "connecting"));
  if (open) open.isDown = true;
}

function say(text, link = null) {
  if (!note) return;
  const whole = text + (link?.textContent ?? "");
  if (note.textContent.trim() === whole) return;
  note.replaceChildren(text);
  if (link) note.append(" ", link);
}

// The header's count may have opened the line before this module was here to listen.
if (line.isUp) welcomed(line.welcome);
else showLine();

// A phone's keyboard shrinks what can be seen, on some without shrinking the page: the thread takes
// the height that is left, so that the keyboard never covers the composer.
const seen = window.visualViewport;
if (page.conversation && seen) {
  document
    .querySelector("meta[name=viewport]")
    ?.setAttribute("content", "width=device-width, initial-scale=1, interactive-widget=resizes-content");
  const fit = () => {
    const isCovered = innerHeight - seen.height > 80 && seen.scale < 1.05;
    const { style } = document.documentElement;
    if (isCovered) style.setProperty("--chat-height", `${Math.round(seen.height)}px`);
    else style.removeProperty("--chat-height");
    if (isCovered) scrollTo(0, 0);
  };
  seen.addEventListener("resize", fit);
}
