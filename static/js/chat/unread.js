// The number of conversations with something new, in the header and the title of every page of a
// signed-in person; and nothing of somebody else stays on this device.

import { connection } from "./connection.js";
import { getJson } from "./http.js";
import { keepOnlyOf, keys, signOut } from "./storage.js";

const ASK_AFTER_MS = 400; // many messages at once are one question
const ASK_EVERY_MS = 30_000; // where no socket gets through

const { user } = document.documentElement.dataset;
const links = document.querySelectorAll("[data-messages-link]");

keepOnlyOf(user);
for (const form of document.querySelectorAll("[data-sign-out]")) {
  form.addEventListener("submit", signOut);
}

function show(unread) {
  const shown = unread > 0 ? `(${unread})` : "";
  for (const link of links) {
    const count = link.querySelector("[data-unread-count]");
    if (count && count.textContent !== shown) count.textContent = shown;
  }
  const name = document.title.replace(/\(\d+\) /, "");
  const title = shown ? name.replace(/^(Error: )?/, `$1${shown} `) : name;
  if (document.title !== title) document.title = title;
}

let timer = 0;
function askSoon() {
  if (!timer) timer = setTimeout(ask, ASK_AFTER_MS);
}

async function ask() {
  timer = 0;
  try {
    show((await getJson(links[0].dataset.unreadUrl)).unread);
  } catch {
    // The next event or the next welcome asks again.
  }
}

if (user && links.length) {
  const line = connection();
  const heads = new Map(); // conversation → last number, as of the last question
  const heard = (conversation, seq) => {
    if (seq <= (heads.get(conversation) ?? 0)) return;
    heads.set(conversation, seq);
    askSoon();
  };
  line.addEventListener("up", ({ detail }) => {
    for (const each of detail.conversations) heads.set(each.id, each.last_seq);
    askSoon();
  });
  line.addEventListener("frame", ({ detail: frame }) => {
    if (frame.type === "message") heard(frame.conversation, frame.seq);
    else if (frame.type === "read" && frame.user === user) askSoon();
    else if (frame.type === "pong") {
      for (const [conversation, seq] of Object.entries(frame.heads)) heard(conversation, seq);
    }
  });
  line.addEventListener("withdrawn", askSoon);
  // What was not sent goes out from whatever page its writer is on; pages of messages see to it
  // themselves.
  if (keys(`${user}.out.`).length && !document.querySelector("[data-chat]")) sendWaiting(line);
  setInterval(() => {
    if (line.isBlocked && document.visibilityState === "visible") askSoon();
  }, ASK_EVERY_MS);
}

async function sendWaiting(line) {
  const { outboxOver } = await import("./sending.js");
  const outbox = outboxOver(line, user, () => {});
  const flush = () => outbox.flush();
  line.addEventListener("up", flush);
  line.addEventListener("blocked", flush);
  flush();
}
