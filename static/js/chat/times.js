// Moments in words, in the page's time zone, as the server writes them.

import { words } from "./words.js";

const DAY_MS = 86_400_000;
const LANGUAGE = document.documentElement.lang || "en";

export class Times {
  #time;
  #day;
  #short;
  #long;

  constructor(timeZone) {
    const format = (options) => new Intl.DateTimeFormat(LANGUAGE, { ...options, timeZone });
    this.#time = format({ hour: "numeric", minute: "2-digit" });
    // Sweden writes days as ISO does, which is what `data-day` holds.
    this.#day = new Intl.DateTimeFormat("sv-SE", { timeZone });
    this.#short = format({ month: "long", day: "numeric" });
    this.#long = format({ weekday: "long", month: "long", day: "numeric", year: "numeric" });
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

  // "November 20"
  shortDay(moment) {
    return this.#short.format(moment);
  }

  // "Today, Friday, November 20, 2026", or without "Today"
  dayName(moment, now = new Date()) {
    const day = this.day(moment);
    const name = this.#long.format(moment);
    if (day === this.day(now)) return words("today", { day: name });
    return day === this.day(new Date(now.getTime() - DAY_MS)) ? words("yesterday", { day: name }) : name;
  }
}
