// Tells the server how far this person has got: at most once a second for each conversation and
// kind, and never backwards.

const EVERY_MS = 1_000;

export class Marks {
  #send;
  #told = new Map(); // "read:ID" → seq
  #waiting = new Map(); // "read:ID" → seq that the next turn tells
  #timers = new Set();

  // send(kind, conversation, seq) answers whether it could be handed to the network.
  constructor(send) {
    this.#send = send;
  }

  delivered(conversation, seq) {
    this.#mark("delivered", conversation, seq);
  }

  // Read messages were delivered, which the server knows.
  read(conversation, seq) {
    this.#mark("read", conversation, seq);
  }

  // After a lost connection: what was told last may not have arrived.
  again() {
    for (const [place, seq] of this.#told) {
      if (!(this.#waiting.get(place) > seq)) this.#waiting.set(place, seq);
    }
    this.#told.clear();
    for (const place of this.#waiting.keys()) this.#turn(place);
  }

  #mark(kind, conversation, seq) {
    const place = `${kind}:${conversation}`;
    if (!seq || seq <= (this.#told.get(place) ?? 0) || seq <= (this.#waiting.get(place) ?? 0)) return;
    this.#waiting.set(place, seq);
    if (!this.#timers.has(place)) this.#turn(place);
  }

  #turn(place) {
    const seq = this.#waiting.get(place);
    if (seq === undefined || this.#timers.has(place)) return;
    const [kind, conversation] = place.split(":");
    if (!this.#send(kind, conversation, seq)) return; // `again` will
    this.#told.set(place, seq);
    this.#waiting.delete(place);
    this.#timers.add(place);
    setTimeout(() => {
      this.#timers.delete(place);
      this.#turn(place);
    }, EVERY_MS);
  }
}
