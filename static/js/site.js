// What pages do beyond HTML. Everything works without this file; it only makes it kinder.

const WARN_BEFORE_END_MS = 2 * 60 * 1000;
const SEND_AGAIN_AFTER_MS = 10 * 1000; // after that a lost connection is likelier than a double click
const WIDE = matchMedia("(min-width: 56em)");

document.body.classList.add("js-enabled", "govuk-frontend-supported");

// A second click sends nothing. Buttons stay enabled: a disabled one loses its name and the focus.
const sent = new WeakMap();
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || "allowTwice" in form.dataset) return;
  if (Date.now() - (sent.get(form) ?? -Infinity) < SEND_AGAIN_AFTER_MS) event.preventDefault();
  else sent.set(form, Date.now());
});
// Coming back with the browser's Back button, the page is the old one and may be sent again.
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const form of document.forms) sent.delete(form);
});

for (const details of document.querySelectorAll("details[data-open-wide]")) {
  if (WIDE.matches) details.open = true;
}

function reveal(region, selector) {
  for (const each of region.querySelectorAll("[data-hold-warning], [data-hold-ended]")) {
    each.hidden = !each.matches(selector);
  }
}
for (const region of document.querySelectorAll("[data-hold-until]")) {
  const left = Date.parse(region.dataset.holdUntil) - Date.now();
  setTimeout(reveal, Math.max(0, left - WARN_BEFORE_END_MS), region, "[data-hold-warning]");
  setTimeout(reveal, Math.max(0, left), region, "[data-hold-ended]");
}

// Unsent messages stay on the device only for who wrote them: a page of nobody clears them, apart from
// the sign-in, where somebody whose session ended comes back. (Somebody else's page: chat/unread.js.)
if (!document.documentElement.dataset.user && !location.pathname.startsWith("/accounts/")) {
  for (const key of Object.keys(localStorage)) {
    if (key.startsWith("clinic.chat.")) localStorage.removeItem(key);
  }
}

// The govuk modules weigh 11 KB, so only pages that use one load them.
if (document.querySelector("[data-module]")) {
  const { initAll } = await import(document.getElementById("site-js").dataset.govuk);
  initAll();
}
