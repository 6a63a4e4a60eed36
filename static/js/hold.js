// A time that is kept: two minutes before the end the page says so, and at the end that it is over. The
// server decides; no clock ticks here. For the booking page only.

const WARN_BEFORE_END_MS = 2 * 60 * 1000;

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
