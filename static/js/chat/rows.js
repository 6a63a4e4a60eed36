// The rows of a thread, cloned from the page's templates and filled with text nodes only.

import { linked } from "./text.js";
import { words } from "./words.js";

const templates = new Map(
  [...document.querySelectorAll("template[data-template]")].map((template) => [
    template.dataset.template,
    template.content,
  ]),
);

const NO_ID = "00000000-0000-0000-0000-000000000000";
const addresses = document.querySelector("[data-chat]").dataset.attachmentUrl ?? "";

function clone(name) {
  return templates.get(name).firstElementChild.cloneNode(true);
}

// A node for a row as `view.js` describes it.
export function build(row) {
  if (row.type === "day") return day(row);
  if (row.type === "new") return unreadLine(row);
  if (row.type === "notice") return notice(row);
  return message(row);
}

function day(row) {
  const node = clone("day");
  node.dataset.day = row.day;
  (node.querySelector("span") ?? node).textContent = row.text;
  return node;
}

function unreadLine(row) {
  const node = clone("day");
  node.removeAttribute("data-day");
  node.classList.add("log__day--new");
  (node.querySelector("span") ?? node).textContent = row.text;
  return node;
}

function notice(row) {
  const node = clone("notice");
  place(node, row);
  fill(node, "[data-body]", linked(row.body));
  time(node, row);
  return node;
}

function message(row) {
  const node = clone("message");
  place(node, row);
  node.classList.toggle("message--own", Boolean(row.isOwn));
  node.classList.toggle("message--follows", Boolean(row.follows));
  node.classList.toggle("message--deleted", Boolean(row.isDeleted));
  node.classList.toggle("message--failed", Boolean(row.isFailed));
  node.classList.toggle("message--waiting", Boolean(row.isWaiting));
  node.dataset.key = row.key;
  if (row.sender) node.dataset.sender = row.sender;
  fill(node, ".message__who", row.who);
  quote(node, row.quote);
  fill(node, "[data-body]", row.isDeleted ? words("deleted") : linked(row.body));
  const body = node.querySelector("[data-body]");
  if (body) body.hidden = !row.isDeleted && !row.body;
  file(node, row.file);
  time(node, row);
  const edited = node.querySelector("[data-edited]");
  if (edited) edited.hidden = !row.isEdited || row.isDeleted;
  state(node, row);
  actions(node, row);
  return node;
}

function place(node, row) {
  if (row.seq) {
    node.id = `m${row.seq}`;
    node.dataset.seq = row.seq;
  } else {
    node.removeAttribute("id");
  }
  node.dataset.at = row.at;
  node.dataset.day = row.day;
}

function quote(node, quoted) {
  const paragraph = node.querySelector("[data-quote]");
  if (!paragraph) return;
  paragraph.hidden = !quoted;
  if (!quoted) return;
  fill(paragraph, "[data-quote-who]", quoted.who);
  fill(paragraph, "[data-quote-text]", quoted.text);
  const link = paragraph.querySelector("[data-quote-link]");
  if (link) link.setAttribute("href", `#m${quoted.seq}`);
}

function file(node, attachment) {
  const box = node.querySelector("[data-attachment]");
  if (!box) return;
  box.hidden = !attachment;
  box.replaceChildren();
  if (!attachment) return;
  const isImage = Boolean(attachment.width);
  const address = addresses.replace(NO_ID, attachment.id);
  const shown = clone(isImage ? "image" : "file");
  const link = shown.matches("a") ? shown : shown.querySelector("a");
  link.href = address;
  if (isImage) {
    const image = shown.querySelector("img");
    // Known sizes keep the page still while pictures load.
    image.width = attachment.width;
    image.height = attachment.height;
    image.src = `${address}?thumbnail=1`;
  }
  fill(shown, "[data-file-name]", attachment.name);
  fill(shown, "[data-file-size]", size(attachment.size));
  box.append(shown);
}

// "1.2 MB"
function size(bytes) {
  if (bytes < 1_000_000) return `${Math.max(1, Math.round(bytes / 1_000))} KB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function time(node, row) {
  const shown = node.querySelector("[data-time]");
  if (!shown) return;
  shown.textContent = row.time;
  shown.setAttribute("datetime", row.at);
}

function state(node, row) {
  const shown = node.querySelector("[data-state]");
  const before = node.querySelector("[data-state-before]");
  if (before) before.hidden = !row.state;
  if (!shown) return;
  shown.textContent = row.state ?? "";
  shown.hidden = !row.state;
  if (!row.isFailed) return;
  const choices = document.createElement("span");
  choices.className = "message__choices";
  choices.append(
    choice(words("retry"), "retry", row.act),
    choice(words(row.isChange ? "undo" : "discard"), "discard", row.act),
  );
  shown.parentNode.append(choices);
}

function choice(text, what, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button-link message__choice";
  button.dataset[what] = act;
  button.textContent = text;
  return button;
}

function actions(node, row) {
  const bar = node.querySelector("[data-actions]");
  if (!bar) return;
  for (const name of ["reply", "edit", "delete"]) {
    const link = bar.querySelector(`[data-${name}]`);
    if (!link) continue;
    link.hidden = !row.can?.[name];
    const which = words(name === "reply" ? "toMessage" : "theMessage", { time: row.time });
    let hint = link.querySelector(".govuk-visually-hidden");
    if (!hint) link.append((hint = document.createElement("span")));
    hint.className = "govuk-visually-hidden";
    hint.textContent = ` ${which}`;
    // The arrow keys lead through older rows, so that Tab is not a walk through all of them.
    link.tabIndex = row.isCurrent ? 0 : -1;
    link.setAttribute("href", `?${name === "reply" ? "reply_to" : name}=${row.seq ?? ""}#composer`);
  }
  bar.hidden = !row.can;
}

function fill(node, selector, content) {
  node.querySelector(selector)?.replaceChildren(content);
}
