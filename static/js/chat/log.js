// A conversation as this page knows it: an unbroken run of numbered events, from `oldest` to `have`,
// and what they make of the messages. No network and no page in here.

export class Log {
  oldest; // the number of the first event known; 1 when there is nothing older
  have; // the number up to which nothing is missing
  entries = []; // messages and notices, ascending
  #bySeq = new Map();
  #changes = new Map(); // target → the latest edit or the deletion
  #early = new Map(); // events beyond a gap

  constructor({ events = [], last_seq: last = 0 }) {
    this.oldest = events[0]?.seq ?? last + 1;
    this.have = this.oldest - 1;
    for (const event of events) this.apply(event);
  }

  get hasOlder() {
    return this.oldest > 1;
  }

  get hasGap() {
    return this.#early.size > 0;
  }

  // Takes an event in; answers the events that became visible by it: none when it was known already
  // or when something before it is missing.
  apply(event) {
    if (event.seq <= this.have) return [];
    this.#early.set(event.seq, event);
    const applied = [];
    for (let next; (next = this.#early.get(this.have + 1)); ) {
      this.#early.delete(next.seq);
      this.have = next.seq;
      this.#take(next, (entry) => this.entries.push(entry));
      applied.push(next);
    }
    return applied;
  }

  // Takes in the events just before the oldest one known.
  prepend(events) {
    const fitting = events.filter((event) => event.seq < this.oldest);
    const entries = [];
    for (const event of fitting) this.#take(event, (entry) => entries.push(entry));
    this.entries.unshift(...entries);
    if (fitting.length) this.oldest = fitting[0].seq;
    return entries.length;
  }

  // The message or notice with this number, as it is now.
  get(seq) {
    const entry = this.#bySeq.get(seq);
    if (!entry) return null;
    const change = this.#changes.get(seq);
    if (!change) return entry;
    return change.type === "deleted"
      ? { ...entry, isDeleted: true, body: "", attachment: undefined }
      : { ...entry, isEdited: true, body: change.body };
  }

  indexOf(seq) {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle].seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #take(event, add) {
    if (event.type === "message" || event.type === "notice") {
      this.#bySeq.set(event.seq, event);
      add(event);
      return;
    }
    const known = this.#changes.get(event.target);
    // Older pages are read after newer ones; a deletion is final.
    if (known && (known.type === "deleted" || known.seq > event.seq)) return;
    this.#changes.set(event.target, event);
  }
}
