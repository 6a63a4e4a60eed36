// Where conversations are found over HTTP (docs/chat-protocol.md).

const link = document.querySelector("[data-messages-link]");
const messages = link?.dataset.unreadUrl.replace(/unread$/, "") ?? "/messages/";

export const HEADS = `${messages}heads`;

export function of(conversation, rest = "") {
  return `${messages}${encodeURIComponent(conversation)}/${rest}`;
}
