// What pages do beyond HTML. Everything works without this file; it only makes it kinder.

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

// Unsent messages are their writer's: a page of nobody clears them, except on the way to sign in.
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
