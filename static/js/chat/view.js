// The thread on the page: a window of the log, so that a conversation of 10,000 messages costs as
// much as one of 200. It keeps the place where somebody reads, whatever comes above or below.

import { build } from "./rows.js";
import { excerpt } from "./text.js";
import { words } from "./words.js";

const WINDOW = 200; // rows on the page at most
const STEP = 60; // rows that scrolling adds at once
const NEAR_PX = 800; // from an end of the window, at which rows are added
const AT_BOTTOM_PX = 48;
const GROUP_MS = 10 * 60_000; // messages of one person within it are one group

// A picture that is on the page already is not fetched again because its message was seen.
function keepPicture(before, after) {
  const [old, now] = [before, after].map((node) => node.querySelector("[data-attachment] .file"));
  if (old && now && old.href === now.href) now.replaceWith(old);
}

// Events: "bottom" (the newest was scrolled to), "scrolled", "top" (older events are wanted).
export class View extends EventTarget {
  #box;
  #list;
  #log;
  #times;
  #people;
  #user;
  #from = 0;
  #to = 0;
  #nodes = new Map(); // key → {node, signature}
  #acts = [];
  #firstUnread = 0;
  #current = null; // key of the row whose actions Tab reaches
  #frame = 0;
  stateOf = () => ""; // words under an own message
  canEdit = () => false;
  canWrite = true;
  problemOf = () => null; // words under an act that is not on its way

  constructor({ box, list, log, times, people, user }) {
    super();
    this.#box = box;
    this.#list = list;
    this.#log = log;
    this.#times = times;
    this.#people = people;
    this.#user = user;
    this.#to = log.entries.length;
    this.#from = Math.max(0, this.#to - WINDOW / 2);
    box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // The keyboard of a phone, a turned screen and a growing composer change the height.
    let wasAtBottom = true;
    this.addEventListener("scrolled", () => (wasAtBottom = this.isAtBottom));
    new ResizeObserver(() => {
      if (wasAtBottom && this.#to === log.entries.length) this.#toBottom();
    }).observe(box);
  }

  get isAtBottom() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    return this.#hasEnd && scrollHeight - clientHeight - scrollTop <= AT_BOTTOM_PX;
  }

  get #hasEnd() {
    return this.#to === this.#log.entries.length;
  }

  get showsStart() {
    return this.#from === 0;
  }

  set acts(acts) {
    this.#acts = acts;
  }

  set firstUnread(seq) {
    this.#firstUnread = seq;
  }

  // The first picture: at the first unread message, or at the end.
  start() {
    this.#list.replaceChildren();
    this.#place();
    const line = this.#nodes.get("new")?.node;
    if (line) {
      this.#box.scrollTop += line.getBoundingClientRect().top - this.#box.getBoundingClientRect().top - 16;
    } else {
      this.#toBottom();
    }
    this.dispatchEvent(new Event("scrolled"));
  }

  // Call after `log.apply` with whether the newest row was in sight before.
  appended(wasAtBottom) {
    const hadEnd = this.#to >= this.#log.entries.length - 1 || wasAtBottom;
    if (wasAtBottom) {
      this.#to = this.#log.entries.length;
      this.#from = Math.max(this.#from, this.#to - WINDOW / 2);
    } else if (hadEnd && this.#log.entries.length - this.#from <= WINDOW) {
      this.#to = this.#log.entries.length;
    }
    this.update(wasAtBottom);
  }

  // Call after `log.prepend` with how many rows it added.
  prepended(count) {
    this.#from += count;
    this.#to += count;
    this.#extendUp();
  }

  // Draws what changed and nothing else.
  update(stayAtBottom = this.isAtBottom) {
    if (stayAtBottom) {
      this.#place();
      this.#toBottom();
      return;
    }
    this.#keepingPlace(() => this.#place());
  }

  // Several changes in one turn are one drawing.
  updateSoon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.update();
    });
  }

  toBottom() {
    this.#to = this.#log.entries.length;
    this.#from = Math.max(0, this.#to - WINDOW / 2);
    this.#place();
    this.#toBottom();
    this.dispatchEvent(new Event("bottom"));
    this.dispatchEvent(new Event("scrolled"));
  }

  // Shows a message that the log knows, in the middle.
  show(seq) {
    const index = this.#log.indexOf(seq);
    if (index < this.#from || index >= this.#to) {
      this.#from = Math.max(0, index - WINDOW / 4);
      this.#to = Math.min(this.#log.entries.length, this.#from + WINDOW / 2);
      this.#place();
    }
    const node = this.#list.querySelector(`#m${seq}`);
    if (!node) return;
    node.scrollIntoView({ block: "center" });
    for (const other of this.#list.querySelectorAll(".is-target")) other.classList.remove("is-target");
    node.classList.add("is-target");
    node.tabIndex = -1;
    node.focus({ preventScroll: true });
  }

  // Moves to the row before (-1) or after (1) the one a node is in; answers that row.
  neighbour(node, step) {
    const rows = [...this.#list.querySelectorAll("[data-key]")];
    const next = rows[rows.indexOf(node.closest("[data-key]")) + step];
    if (!next) return null;
    this.#current = next.dataset.key;
    this.update();
    return this.#nodes.get(this.#current)?.node ?? null;
  }

  #toBottom() {
    this.#box.scrollTop = this.#box.scrollHeight;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    if (scrollTop < NEAR_PX) {
      if (this.#from > 0) this.#extendUp();
      else if (this.#log.hasOlder) this.dispatchEvent(new Event("top"));
    }
    if (scrollHeight - clientHeight - scrollTop < NEAR_PX && !this.#hasEnd) this.#extendDown();
    if (this.isAtBottom) this.dispatchEvent(new Event("bottom"));
    this.dispatchEvent(new Event("scrolled"));
  }

  #extendUp() {
    this.#from = Math.max(0, this.#from - STEP);
    this.#to = Math.min(this.#to, this.#from + WINDOW);
    this.#keepingPlace(() => this.#place());
  }

  #extendDown() {
    this.#to = Math.min(this.#log.entries.length, this.#to + STEP);
    this.#from = Math.max(this.#from, this.#to - WINDOW);
    this.#keepingPlace(() => this.#place());
  }

  // Does something to the rows without moving the one that is read.
  #keepingPlace(change) {
    const top = this.#box.getBoundingClientRect().top;
    const anchor = [...this.#list.children].find(
      (node) => node.dataset.at && node.getBoundingClientRect().bottom > top,
    );
    const key = anchor && this.#keyOf(anchor);
    const before = anchor?.getBoundingClientRect().top;
    change();
    const after = key && this.#nodes.get(key)?.node.getBoundingClientRect().top;
    if (after !== undefined && after !== before) this.#box.scrollTop += after - before;
  }

  #keyOf(node) {
    for (const [key, known] of this.#nodes) if (known.node === node) return key;
    return null;
  }

  // Puts the rows of the window on the page: rows that did not change keep their nodes.
  #place() {
    const focus = this.#focus();
    const rows = this.#rows();
    const kept = new Map();
    const wanted = new Set(rows.map((row) => row.key));
    // First, so that the rows that stay need not move.
    for (const [key, { node }] of this.#nodes) if (!wanted.has(key)) node.remove();
    let at = this.#list.firstElementChild;
    for (const row of rows) {
      const signature = JSON.stringify(row);
      const known = this.#nodes.get(row.key);
      const same = known?.signature === signature;
      const node = same ? known.node : build(row);
      if (known && !same) keepPicture(known.node, node);
      if (known && !same) {
        if (at === known.node) at = at.nextElementSibling;
        known.node.replaceWith(node);
        if (node.nextElementSibling === at) {
          kept.set(row.key, { node, signature });
          continue;
        }
      }
      if (node === at) at = at.nextElementSibling;
      else this.#list.insertBefore(node, at);
      kept.set(row.key, { node, signature });
    }
    this.#nodes = kept;
    this.#refocus(focus);
  }

  #focus() {
    const focused = document.activeElement;
    if (!this.#list.contains(focused)) return null;
    const row = focused.closest("[data-key]");
    const name = ["reply", "edit", "delete", "retry", "discard"].find((each) => each in focused.dataset);
    return { focused, key: row?.dataset.key, name };
  }

  #refocus(focus) {
    if (!focus || document.contains(focus.focused)) return;
    const node = this.#nodes.get(focus.key)?.node;
    const again = focus.name && node?.querySelector(`[data-${focus.name}]`);
    (again ?? this.#box).focus({ preventScroll: true });
  }

  #rows() {
    const rows = [];
    const acts = new Map(
      this.#acts.filter((act) => act.type !== "send").map((act) => [act.target, act]),
    );
    let previous = null;
    const add = (row, moment) => {
      row.day = this.#times.day(moment);
      row.time = this.#times.time(moment);
      if (row.day !== previous?.day) {
        rows.push({ key: `day:${row.day}`, type: "day", day: row.day, text: this.#times.dayName(moment) });
      }
      if (row.seq && row.seq === this.#firstUnread) {
        rows.push({ key: "new", type: "new", text: words("newBelow") });
        previous = null;
      }
      row.follows =
        previous?.type === "message" &&
        row.type === "message" &&
        previous.sender === row.sender &&
        previous.day === row.day &&
        !previous.isFailed &&
        !row.isFailed &&
        moment - new Date(previous.at) < GROUP_MS;
      rows.push(row);
      previous = row;
    };
    for (const { seq } of this.#log.entries.slice(this.#from, this.#to)) {
      const entry = this.#log.get(seq);
      add(
        entry.type === "notice" ? this.#notice(entry) : this.#message(entry, acts.get(seq)),
        new Date(entry.at),
      );
    }
    if (this.#hasEnd) {
      // What the log has already is one row, also while the answer to sending it is still on its way.
      const stored = new Set(rows.map((row) => row.key));
      for (const act of this.#acts) {
        if (act.type === "send" && !stored.has(act.client_id)) add(this.#local(act), new Date(act.at));
      }
    }
    const messages = rows.filter((row) => row.can);
    const current = messages.find((row) => row.key === this.#current) ?? messages.at(-1);
    if (current) current.isCurrent = true;
    return rows;
  }

  #notice(entry) {
    return { key: `n${entry.seq}`, type: "notice", seq: entry.seq, at: entry.at, body: entry.body };
  }

  #message(entry, act) {
    const isOwn = entry.sender === this.#user;
    const problem = act ? this.problemOf(act) : null;
    const isDeleted = Boolean(entry.isDeleted) || act?.type === "delete";
    return {
      key: isOwn && entry.client_id ? entry.client_id : `m${entry.seq}`,
      type: "message",
      seq: entry.seq,
      at: entry.at,
      isOwn,
      sender: entry.sender,
      who: isOwn ? words("you") : (this.#people[entry.sender]?.name ?? entry.name ?? ""),
      quote: this.#quote(entry.reply_to),
      body: act?.type === "edit" ? act.body : entry.body,
      file: isDeleted ? undefined : entry.attachment,
      isDeleted,
      isEdited: Boolean(entry.isEdited) || act?.type === "edit",
      isFailed: Boolean(problem),
      isWaiting: Boolean(act) && !problem,
      isChange: Boolean(act),
      act: act?.client_id,
      state: act ? (problem ?? words("sending")) : isOwn && !isDeleted ? this.stateOf(entry) : "",
      can:
        isDeleted || act || !this.canWrite
          ? null
          : { reply: true, edit: isOwn && this.canEdit(entry), delete: isOwn },
    };
  }

  #local(act) {
    const problem = this.problemOf(act);
    return {
      key: act.client_id,
      type: "message",
      at: act.at,
      isOwn: true,
      sender: this.#user,
      who: words("you"),
      quote: this.#quote(act.reply_to),
      body: act.body,
      file: act.file,
      isFailed: Boolean(problem),
      isWaiting: !problem,
      act: act.client_id,
      state: problem ?? words("sending"),
      can: null,
    };
  }

  #quote(seq) {
    if (!seq) return null;
    const entry = this.#log.get(seq);
    if (!entry) return { seq, who: words("earlier"), text: "" };
    const text = entry.isDeleted ? words("deleted") : excerpt(entry.body || entry.attachment?.name || "");
    const who = entry.sender === this.#user ? words("you") : (entry.name ?? "");
    return { seq, who, text };
  }
}
