// What people wrote, as nodes. Their text never becomes markup: it only ever becomes text nodes.

const ADDRESS = /https?:\/\/[^\s<>"']+/gi;
const NOT_AT_THE_END = /[.,;:!?…)\]}]+$/;

// A fragment of text with its web addresses as links.
export function linked(text) {
  const fragment = document.createDocumentFragment();
  let done = 0;
  for (const found of text.matchAll(ADDRESS)) {
    const address = trimmed(found[0]);
    if (!isWeb(address)) continue;
    fragment.append(text.slice(done, found.index), link(address));
    done = found.index + address.length;
  }
  fragment.append(text.slice(done));
  return fragment;
}

// Marks of the sentence around an address are not its part; a bracket that it opened is.
function trimmed(address) {
  const shorter = address.replace(NOT_AT_THE_END, "");
  const rest = address.slice(shorter.length);
  return rest.startsWith(")") && shorter.includes("(") && !shorter.includes(")")
    ? `${shorter})`
    : shorter;
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
