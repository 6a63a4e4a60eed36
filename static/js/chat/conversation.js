// The open conversation: what the log says, what the outbox holds and who has seen what, on the page.

import { of } from "./addresses.js";
import { Composer } from "./composer.js";
import { getJson } from "./http.js";
import { Log } from "./log.js";
import { excerpt } from "./text.js";
import { View } from "./view.js";
import { counted, words } from "./words.js";

const FIRST_PAGE = 100; // events
const OLDER_PAGE = 200; // the most that the server gives at once
const SYNC_LIMIT = 200;
const SYNC_WITHIN_MS = 10_000;
const GAP_PATIENCE_MS = 300; // events of two servers may cross
const TYPING_ENDS_MS = 7_000;
const EDIT_WITHIN_MS = 15 * 60_000;
const TRY_AGAIN_MS = 3_000;

const one = (selector) => document.querySelector(selector);

export class Conversation {
  #page; // the data- attributes of the page
  #user;
  #id;
  #tab; // {line, outbox, marks, list, times}
  #log = null;
  #view = null;
  #composer = null;
  #people;
  #marks = new Map(); // user → {read, readAt, delivered}
  #below = 0; // messages that arrived out of sight
  #typing = new Map(); // user → timer
  #online = new Set();
  #syncing = 0;
  #gapTimer = 0;
  #early = []; // events that came before the first page
  #loadingOlder = false;
  #isDown = false;
  #said;

  constructor(page, tab) {
    this.#page = page;
    this.#user = page.user;
    this.#id = page.conversation;
    this.#tab = tab;
    this.#people = JSON.parse(one("#chat-people")?.textContent ?? "{}");
    // Of the time before this page there is one mark: the furthest of the other side.
    this.#marks.set("", {
      name: Object.values(this.#people).find((each) => each.name === page.peerReadBy)?.short,
      read: Number(page.peerReadSeq),
      readAt: page.peerReadAt,
      delivered: Number(page.peerDeliveredSeq),
    });
    this.#said = document.createElement("div");
    this.#said.className = "govuk-visually-hidden";
    this.#said.setAttribute("role", "status");
    one("[data-thread]").append(this.#said);
    this.#wire();
    this.#load();
  }

  get #eventsUrl() {
    return of(this.#id, "events");
  }

  get have() {
    return this.#log?.have ?? 0;
  }

  get hasComposer() {
    return Boolean(this.#composer);
  }

  // --- What comes in

  async #load() {
    const last = Number(this.#page.lastSeq);
    const after = Math.max(0, last - FIRST_PAGE);
    let events = [];
    try {
      if (last) ({ events } = await getJson(`${this.#eventsUrl}?after=${after}&limit=${FIRST_PAGE}`));
    } catch {
      setTimeout(() => this.#load(), TRY_AGAIN_MS);
      return;
    }
    this.#begin(events, last);
  }

  #begin(events, last) {
    this.#log = new Log({ events, last_seq: last });
    const { times } = this.#tab;
    const log = this.#log;
    const list = one("[data-events]");
    const box = one("[data-log]");
    box.setAttribute("aria-live", "off"); // what is new is said by the region beside it
    one("[data-chat]").classList.add("chat--live");
    for (const part of document.querySelectorAll("[data-later], [data-check]")) part.hidden = true;
    const [user, people] = [this.#user, this.#people];
    this.#view = new View({ box, list, log, times, people, user });
    this.#view.stateOf = (entry) => this.#stateOf(entry);
    this.#view.problemOf = (act) => this.#problemOf(act);
    this.#view.canEdit = (entry) => Date.now() - new Date(entry.at) < EDIT_WITHIN_MS;
    this.#view.canWrite = this.#page.closed === undefined;
    const read = Number(this.#page.readSeq);
    this.#view.firstUnread =
      log.entries.find((each) => each.type === "message" && each.seq > read && each.sender !== user)?.seq ?? 0;
    this.#view.addEventListener("top", () => this.#loadOlder());
    this.#view.addEventListener("bottom", () => this.#atBottom());
    this.#view.addEventListener("scrolled", () => this.#showBelow());
    this.#view.acts = this.#tab.outbox.of(this.#id);
    this.#view.start();
    this.#showEarlier();
    for (const event of this.#early.splice(0)) this.take(event);
    this.#reached();
    this.sync(); // for what came between the page and the socket
    const [, target] = /^#m(\d+)$/.exec(location.hash) ?? [];
    if (target) this.#goTo(Number(target));
    // Edits end after 15 minutes and days end at midnight, without an event.
    setInterval(() => this.#view.updateSoon(), 60_000);
  }

  // An event of this conversation, from wherever.
  take(event, { isNews = true } = {}) {
    if (!this.#log) {
      this.#early.push(event);
      return;
    }
    const wasAtBottom = this.#view.isAtBottom;
    const applied = this.#log.apply(event);
    if (this.#log.hasGap) this.#mindTheGap();
    if (!applied.length) return;
    for (const each of applied) {
      if (each.sender === this.#user || (each.type !== "message" && each.type !== "notice")) continue;
      this.#stopTyping(each.sender);
      if (!wasAtBottom) this.#below += 1;
      if (isNews) this.#announce(each);
    }
    this.#view.acts = this.#tab.outbox.of(this.#id);
    one("[data-empty]")?.remove();
    this.#view.appended(wasAtBottom);
    this.#showBelow();
    this.#reached();
  }

  // The server's word on where the conversation ends.
  head(seq) {
    if (this.#log && seq > this.#log.have) this.sync();
  }

  // The log over again from here: false when it has to come by HTTP.
  sync() {
    if (!this.#log || (this.#syncing && Date.now() - this.#syncing < SYNC_WITHIN_MS)) return;
    const frame = { type: "sync", conversation: this.#id, after: this.#log.have, limit: SYNC_LIMIT };
    if (this.#tab.line.send(frame)) this.#syncing = Date.now();
  }

  history(frame) {
    this.#syncing = 0;
    for (const event of frame.events) this.take(event, { isNews: frame.events.length < 5 });
    if (frame.more) this.sync();
  }

  answerLost() {
    this.#syncing = 0;
  }

  lineLost() {
    this.answerLost();
    this.#online.clear();
    this.#showPresence();
  }

  // Asks over HTTP; answers nothing, throws when that fails.
  async poll() {
    if (!this.#log) return;
    let more = true;
    while (more) {
      const answer = await getJson(`${this.#eventsUrl}?after=${this.#log.have}&limit=${SYNC_LIMIT}`);
      for (const event of answer.events) this.take(event);
      more = answer.more && answer.events.length > 0;
    }
  }

  #mindTheGap() {
    clearTimeout(this.#gapTimer);
    this.#gapTimer = setTimeout(() => this.#log.hasGap && this.sync(), GAP_PATIENCE_MS);
  }

  async #loadOlder() {
    if (this.#loadingOlder || !this.#log.hasOlder) return false;
    this.#loadingOlder = true;
    try {
      const after = Math.max(0, this.#log.oldest - 1 - OLDER_PAGE);
      const limit = this.#log.oldest - 1 - after;
      const { events } = await getJson(`${this.#eventsUrl}?after=${after}&limit=${limit}`);
      this.#view.prepended(this.#log.prepend(events));
      this.#showEarlier();
      this.#loadingOlder = false;
      return events.length > 0;
    } catch {
      setTimeout(() => (this.#loadingOlder = false), TRY_AGAIN_MS);
      return false;
    }
  }

  async #goTo(seq) {
    while (this.#log.oldest > seq) if (!(await this.#loadOlder())) return;
    this.#view.show(seq);
    this.#showEarlier();
  }

  // --- Who has got how far

  mark({ type, user, seq, at }) {
    const name = this.#people[user]?.short;
    const known = this.#marks.get(user) ?? { name, read: 0, readAt: null, delivered: 0 };
    if (type === "read" && seq > known.read) Object.assign(known, { read: seq, readAt: at });
    known.delivered = Math.max(known.delivered, seq);
    this.#marks.set(user, known);
    this.#view?.updateSoon();
  }

  // Whether somebody is on the other side of this person: the clinic's, or the patient's.
  #isOther(user) {
    const person = this.#people[user];
    return Boolean(person) && person.clinic !== this.#people[this.#user]?.clinic;
  }

  #stateOf(entry) {
    const marks = [...this.#marks].filter(([user]) => !user || this.#isOther(user)).map(([, mark]) => mark);
    const furthest = marks.reduce((one, other) => (other.read > one.read ? other : one));
    if (furthest.read >= entry.seq) {
      const { name, readAt } = furthest;
      // When it was read is known of the newest message it covers alone.
      return readAt && entry.seq === this.#lastOwnUpTo(furthest.read)
        ? words("seenAt", { name, time: this.#timeOf(readAt) })
        : words("seen", { name });
    }
    return words(marks.some((mark) => mark.delivered >= entry.seq) ? "delivered" : "sent");
  }

  #lastOwnUpTo(seq) {
    const { entries } = this.#log;
    for (let index = this.#log.indexOf(seq + 1) - 1; index >= 0; index -= 1) {
      const entry = this.#log.get(entries[index].seq);
      if (entry.sender === this.#user && !entry.isDeleted) return entry.seq;
    }
    return 0;
  }

  #timeOf(moment) {
    const { times } = this.#tab;
    const date = new Date(moment);
    const time = times.time(date);
    return times.day(date) === times.day(new Date()) ? time : `${times.shortDay(date)}, ${time}`;
  }

  // Read is what was on a visible page that has the focus, scrolled to its end.
  seen() {
    if (!this.#log || document.visibilityState !== "visible" || !document.hasFocus()) return false;
    if (!this.#view.isAtBottom) return false;
    this.#below = 0;
    this.#tab.marks.read(this.#id, this.#log.have);
    this.#tab.list?.read(this.#id, this.#log.have);
    return true;
  }

  // What was read needs no second frame that says it was delivered.
  #reached() {
    if (!this.seen()) this.#tab.marks.delivered(this.#id, this.have);
  }

  // --- Own acts

  outboxChanged() {
    if (!this.#view) return;
    const wasAtBottom = this.#view.isAtBottom;
    this.#view.acts = this.#tab.outbox.of(this.#id);
    this.#view.update(wasAtBottom);
  }

  // An acknowledged act is as good as its event, which may come later or be lost on the way.
  sent(act, ack) {
    const event = {
      type: { send: "message", edit: "edited", delete: "deleted" }[act.type],
      conversation: this.#id,
      seq: ack.seq,
      client_id: act.client_id,
      sender: this.#user,
      name: this.#people[this.#user]?.name ?? "",
      at: ack.at,
      body: act.body,
      target: act.target,
      reply_to: act.reply_to,
      attachment: act.file,
    };
    this.take(event);
    this.#tab.list?.take(event);
  }

  set isDown(isDown) {
    this.#isDown = isDown;
    this.#view?.update();
  }

  #problemOf(act) {
    if (act.failed) return `${words("notSent")} ${act.failed}`;
    if (navigator.onLine === false) return words("notSentOffline");
    if (this.#isDown) return words("notSentYet");
    const [first] = this.#tab.outbox.of(this.#id);
    return first.failed ? words("notSentHeld") : null;
  }

  withdrawn() {
    one("[data-events]").replaceChildren();
    one("[data-composer]")?.remove();
    this.#log = null;
  }

  // --- Others at work

  typing(user) {
    if (user === this.#user || !this.#people[user]) return;
    clearTimeout(this.#typing.get(user));
    this.#typing.set(user, setTimeout(() => this.#stopTyping(user), TYPING_ENDS_MS));
    this.#showTyping();
  }

  #stopTyping(user) {
    clearTimeout(this.#typing.get(user));
    if (this.#typing.delete(user)) this.#showTyping();
  }

  #showTyping() {
    const names = [...this.#typing.keys()].map((user) => this.#people[user].short);
    const text = names.length ? words("typing", { name: names[0] }) : "";
    one("p[data-typing]").textContent = names.length > 1 ? words("typingMany") : text;
  }

  presence({ user, online }) {
    if (online) this.#online.add(user);
    else this.#online.delete(user);
    this.#showPresence();
  }

  #showPresence() {
    const node = one("[data-presence]");
    if (!node) return;
    const isOnline = [...this.#online].some((user) => this.#isOther(user));
    node.textContent = isOnline ? words("online") : "";
    node.hidden = !isOnline;
  }

  #announce(event) {
    const who = event.name ? `${event.name}: ` : "";
    const line = document.createElement("p");
    line.textContent = who + (event.body || event.attachment?.name || "");
    this.#said.append(line);
    while (this.#said.childElementCount > 5) this.#said.firstElementChild.remove();
  }

  // --- What is out of sight

  #atBottom() {
    this.#below = 0;
    this.seen();
  }

  #showBelow() {
    const button = one("[data-new-below]");
    if (!button || !this.#view) return;
    const isAway = !this.#view.isAtBottom;
    if (!isAway) this.#below = 0;
    const text = this.#below ? counted("newOne", "newMany", this.#below) : words("newest");
    button.hidden = !isAway;
    button.classList.toggle("thread__new--some", this.#below > 0);
    if (button.textContent !== text) button.textContent = text;
  }

  #showEarlier() {
    const link = one("[data-log] [data-earlier]");
    if (link) link.closest("p").hidden = !this.#log.hasOlder && this.#view.showsStart;
  }

  // --- Clicks and keys

  #wire() {
    const form = one("[data-composer]");
    if (form) {
      this.#composer = new Composer(form, `${this.#user}.draft.${this.#id}`, this.#page.attachmentsUrl);
      const { outbox } = this.#tab;
      const add = (act) => outbox.add({ conversation: this.#id, ...act });
      this.#composer.addEventListener("send", ({ detail: { body, reply_to, file } }) => {
        add({ type: "send", body, reply_to, file, attachment: file?.id });
        this.#view?.toBottom();
      });
      this.#composer.addEventListener("edit", ({ detail }) => add({ type: "edit", ...detail }));
      this.#composer.addEventListener("typing", () =>
        this.#tab.line.send({ type: "typing", conversation: this.#id }),
      );
    }
    one("[data-new-below]")?.addEventListener("click", () => {
      this.#view?.toBottom();
      one("[data-log]").focus({ preventScroll: true });
    });
    one("[data-log] [data-earlier]")?.addEventListener("click", (event) => {
      if (!this.#log) return;
      event.preventDefault();
      this.#loadOlder();
    });
    one("[data-log]").addEventListener("click", (event) => this.#clicked(event));
    one("[data-log]").addEventListener("keydown", (event) => this.#key(event));
    addEventListener("focus", () => this.seen());
    document.addEventListener("visibilitychange", () => this.seen());
  }

  #clicked(event) {
    if (!this.#view) return;
    const target = event.target.closest("a, button");
    if (!target) {
      this.#open(event.target.closest("[data-key]"));
      return;
    }
    const { outbox } = this.#tab;
    const seq = Number(target.closest("[data-seq]")?.dataset.seq);
    const data = target.dataset;
    if ("retry" in data) outbox.tryAgain(data.retry);
    else if ("discard" in data) outbox.discard(data.discard);
    else if ("quoteLink" in data) this.#goTo(Number(target.getAttribute("href").slice(2)));
    else if ("reply" in data) this.#reply(seq);
    else if ("edit" in data) this.#composer?.edit(seq, this.#log.get(seq).body);
    else if ("delete" in data) this.#askDelete(target, seq);
    else if ("deleteYes" in data) outbox.add({ conversation: this.#id, type: "delete", target: seq });
    else if ("deleteNo" in data) this.#keepMessage(target);
    else return; // a link in a message, a file: the browser's own business
    event.preventDefault();
  }

  // On touch there is no hovering: a tap on a message shows what can be done with it.
  #open(row) {
    for (const other of document.querySelectorAll(".message--open")) {
      if (other !== row) other.classList.remove("message--open");
    }
    if (!row || String(getSelection())) return;
    row.classList.toggle("message--open");
    row.scrollIntoView({ block: "nearest" });
  }

  #reply(seq) {
    const entry = this.#log.get(seq);
    const who = entry.sender === this.#user ? words("you") : entry.name;
    this.#composer?.reply({ seq, who, text: excerpt(entry.body || entry.attachment?.name || "") });
  }

  #askDelete(link, seq) {
    const bar = link.closest("[data-actions]");
    const question = document.createElement("p");
    question.className = "message__question";
    question.append(words("confirmDelete"), " ");
    for (const [name, text] of [
      ["deleteYes", words("discard")],
      ["deleteNo", words("keep")],
    ]) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button-link message__choice";
      button.dataset[name] = seq;
      button.textContent = text;
      question.append(button, " ");
    }
    bar.hidden = true;
    bar.after(question);
    question.querySelector("button").focus();
  }

  #keepMessage(button) {
    const question = button.closest(".message__question");
    const bar = question.previousElementSibling;
    question.remove();
    bar.hidden = false;
    bar.querySelector("[data-delete]").focus();
  }

  #key(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const link = event.target.closest("[data-actions] a");
    if (!step || !link) return;
    event.preventDefault();
    const name = ["reply", "edit", "delete"].find((each) => each in link.dataset);
    const row = this.#view.neighbour(link, step);
    const links = row ? [...row.querySelectorAll("[data-actions] a:not([hidden])")] : [];
    (links.find((each) => name in each.dataset) ?? links[0])?.focus();
  }
}
