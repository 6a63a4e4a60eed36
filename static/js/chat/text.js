// What people wrote, as nodes. Their text never becomes markup: it only ever becomes text nodes.

// As chat/templatetags/chat.py: an address ends at a character that turns the direction of text,
// which could make it look like another one.
const ADDRESS = /https?:\/\/[^\s<>"'`\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gi;
const NOT_AT_THE_END = /[.,;:!?)\]}»”’]+$/;

// A fragment of text with its web addresses as links.
export function linked(text) {
  const fragment = document.createDocumentFragment();
  let done = 0;
  for (const found of text.matchAll(ADDRESS)) {
    const address = found[0].replace(NOT_AT_THE_END, "");
    if (!isWeb(address)) continue;
    fragment.append(text.slice(done, found.index), link(address));
    done = found.index + address.length;
  }
  fragment.append(text.slice(done));
  return fragment;
}

function isWeb(address) {
  try {
    return /^https?:$/.test(new URL(address).protocol);
  } catch {
    return false;
  }
}

function link(address) {
  const node = document.createElement("a");
  node.className = "govuk-link";
  node.href = address;
  node.rel = "noopener noreferrer nofollow";
  node.target = "_blank";
  node.textContent = address;
  return node;
}

// One line of at most `most` characters, for quotes and previews.
export function excerpt(text, most = 120) {
  const line = text.replace(/\s+/g, " ").trim();
  const characters = [...line];
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : line;
}
