// Moments in words, in the page's time zone, as the server writes them.

import { words } from "./words.js";

const LANGUAGE = document.documentElement.lang || "en";

export class Times {
  #time;
  #day;
  #long;
  #longWithYear;

  constructor(timeZone) {
    const format = (options) => new Intl.DateTimeFormat(LANGUAGE, { ...options, timeZone });
    this.#time = format({ hour: "numeric", minute: "2-digit" });
    // Sweden writes days as ISO does, which is what `data-day` holds.
    this.#day = new Intl.DateTimeFormat("sv-SE", { timeZone });
    const long = { weekday: "long", month: "long", day: "numeric" };
    this.#long = format(long);
    this.#longWithYear = format({ ...long, year: "numeric" });
  }

  // "9:05 am"
  time(moment) {
    return this.#time
      .format(moment)
      .replace(/\s/g, " ")
      .replace(/ ([AP])M$/, (_, half) => (half === "A" ? " am" : " pm"));
  }

  // "2026-11-20"
  day(moment) {
    return this.#day.format(moment);
  }

  // "Today", "Yesterday", or "Friday, November 20"
  dayName(moment, now = new Date()) {
    const day = this.day(moment);
    if (day === this.day(now)) return words("today");
    if (day === this.day(new Date(now.getTime() - 86_400_000))) return words("yesterday");
    const sameYear = day.slice(0, 4) === this.day(now).slice(0, 4);
    return (sameYear ? this.#long : this.#longWithYear).format(moment);
  }
}
