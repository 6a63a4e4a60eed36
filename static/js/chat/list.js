// The list of conversations beside the thread: newest first, with what is new in each.

import { excerpt } from "./text.js";
import { counted, words } from "./words.js";

export class List {
  #root;
  #user;
  #times;

  constructor(root, user, times) {
    this.#root = root;
    this.#user = user;
    this.#times = times;
  }

  // Conversations whose end, by the server's word, is beyond what the list shows: [id, after].
  behind(heads) {
    return heads
      .filter(([id, seq]) => seq > this.lastSeq(id))
      .map(([id]) => [id, this.lastSeq(id)]);
  }

  lastSeq(conversation) {
    return Number(this.#item(conversation)?.dataset.lastSeq ?? 0);
  }

  has(conversation) {
    return Boolean(this.#item(conversation));
  }

  // Takes in an event of any conversation, once.
  take(event) {
    const item = this.#item(event.conversation) ?? this.#newItem(event);
    if (!item || event.seq <= Number(item.dataset.lastSeq ?? 0)) return;
    item.dataset.lastSeq = event.seq;
    if (event.type !== "message" && event.type !== "notice") return;
    const isOwn = event.sender === this.#user;
    const text = excerpt(event.body || event.attachment?.name || "", 80);
    set(item, "[data-preview]", isOwn ? `${words("you")}: ${text}` : text);
    const time = item.querySelector("[data-at], time");
    if (time) {
      time.textContent = this.#times.time(new Date(event.at));
      time.setAttribute("datetime", event.at);
    }
    if (event.type === "message" && !isOwn && event.seq > Number(item.dataset.readSeq ?? 0)) {
      this.#showUnread(item, this.#unread(item) + 1);
    }
    if (this.#root.firstElementChild !== item) this.#moveFirst(item);
  }

  read(conversation, seq) {
    const item = this.#item(conversation);
    if (!item || seq <= Number(item.dataset.readSeq ?? 0)) return;
    item.dataset.readSeq = seq;
    if (seq >= Number(item.dataset.lastSeq ?? 0)) this.#showUnread(item, 0);
  }

  // Moving a node takes its focus away.
  #moveFirst(item) {
    const focused = item.contains(document.activeElement) ? document.activeElement : null;
    this.#root.prepend(item);
    focused?.focus({ preventScroll: true });
  }

  #item(conversation) {
    return this.#root.querySelector(`[data-conversation="${CSS.escape(conversation)}"]`);
  }

  // A conversation that somebody opened since the page was loaded looks like the others.
  #newItem(event) {
    const pattern = this.#root.querySelector("[data-conversation]");
    if (!pattern || !event.name || event.sender === this.#user) return null;
    const item = pattern.cloneNode(true);
    item.dataset.conversation = event.conversation;
    item.dataset.lastSeq = item.dataset.readSeq = 0;
    const link = item.querySelector("a");
    link.href = link.href.replace(pattern.dataset.conversation, event.conversation);
    link.removeAttribute("aria-current");
    set(item, ".conversation__name", event.name);
    set(item, ".conversation__for", "");
    set(item, ".avatar", initials(event.name));
    this.#showUnread(item, 0);
    this.#root.prepend(item);
    return item;
  }

  #unread(item) {
    return Number.parseInt(item.querySelector("[data-unread-of]:not([hidden])")?.textContent, 10) || 0;
  }

  #showUnread(item, count) {
    const node = item.querySelector("[data-unread-of]");
    if (!node) return;
    node.hidden = count === 0;
    node.textContent = count ? counted("unreadOne", "unreadMany", count) : "";
  }
}

function set(item, selector, text) {
  const node = item.querySelector(selector);
  if (node) node.textContent = text;
}

function initials(name) {
  const parts = name.replace(/^Dr\.? /, "").split(" ");
  return (parts[0]?.[0] ?? "") + (parts.length > 1 ? parts.at(-1)[0] : "");
}
