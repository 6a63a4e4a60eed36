// What this person has sent and the server has not acknowledged. Guarantees: acts of a conversation
// go out in their order, one at a time; one that is refused holds back the later ones until it is
// sent again or deleted; every attempt carries the same client_id, so none is stored twice.
//
// Each act is a storage key of its own, because several tabs write at the same time.

import * as storage from "./storage.js";

const ACK_WITHIN_MS = 10_000;
const RETRY_LEAST_MS = 2_000; // doubled by every further loss
const RETRY_MOST_MS = 60_000;

// Act: {client_id, conversation, type: "send" | "edit" | "delete", n, at, …the frame's fields,
//       file? (what the page knows of an attachment), failed?: sentence}
// Events: "change" (detail: the conversation's id), "sent" (detail: {act, ack}).
export class Outbox extends EventTarget {
  #user;
  #transmit;
  #acts = new Map(); // client_id → act
  #inFlight = new Map(); // conversation → {client_id, timer}
  #pauses = new Map(); // conversation → timer
  #losses = new Map(); // conversation → how often in a row nothing came back

  // transmit(act) hands the act to the network and answers whether that was possible.
  constructor(user, transmit) {
    super();
    this.#user = user;
    this.#transmit = transmit;
    for (const key of storage.keys(`${user}.out.`)) this.#load(key);
    storage.onChange((key) => key.startsWith(`${user}.out.`) && this.#changedElsewhere(key));
  }

  // A conversation's acts in the order in which they go out.
  of(conversation) {
    return [...this.#acts.values()]
      .filter((act) => act.conversation === conversation)
      .sort((a, b) => a.n - b.n || (a.client_id < b.client_id ? -1 : 1));
  }

  add(act) {
    const last = Math.max(0, ...this.of(act.conversation).map((each) => each.n));
    const now = Date.now();
    const whole = {
      client_id: crypto.randomUUID?.() ?? uuid4(),
      n: Math.max(now, last + 1),
      at: new Date(now).toISOString(),
      ...act,
    };
    this.#keep(whole);
    this.#changed(whole.conversation);
    this.flush(whole.conversation);
    return whole;
  }

  // Sends what is waiting, of one conversation or of all. Safe to call at any time.
  flush(conversation = null) {
    const all = conversation
      ? [conversation]
      : new Set([...this.#acts.values()].map((act) => act.conversation));
    for (const each of all) this.#next(each);
  }

  // After a lost connection nothing is on its way any more, and a new one is another chance.
  restart() {
    for (const { timer } of this.#inFlight.values()) clearTimeout(timer);
    this.#inFlight.clear();
    for (const conversation of this.#losses.keys()) this.#endPause(conversation);
    this.#losses.clear();
  }

  isOnItsWay(act) {
    return this.#inFlight.get(act.conversation)?.client_id === act.client_id;
  }

  acknowledged(client_id, ack) {
    const act = this.#acts.get(client_id);
    if (!act) return;
    this.#losses.delete(act.conversation);
    this.#remove(act);
    this.dispatchEvent(new CustomEvent("sent", { detail: { act, ack } }));
    this.#changed(act.conversation);
    this.flush(act.conversation);
  }

  refused(client_id, detail, retryAfterMs = null) {
    const act = this.#acts.get(client_id);
    if (!act) return;
    this.#land(act);
    if (retryAfterMs === null) {
      this.#keep({ ...act, failed: detail });
      this.#changed(act.conversation);
    } else {
      this.#pause(act.conversation, retryAfterMs);
    }
  }

  // The network took an act and lost it.
  lost(client_id) {
    const act = this.#acts.get(client_id);
    if (!act) return;
    const losses = this.#losses.get(act.conversation) ?? 0;
    this.#losses.set(act.conversation, losses + 1);
    this.#land(act);
    this.#pause(act.conversation, Math.min(RETRY_MOST_MS, RETRY_LEAST_MS * 2 ** losses));
    this.#changed(act.conversation);
  }

  tryAgain(client_id) {
    const act = this.#acts.get(client_id);
    if (!act) return;
    this.#keep({ ...act, failed: undefined });
    this.#endPause(act.conversation);
    this.#changed(act.conversation);
    this.flush(act.conversation);
  }

  discard(client_id) {
    const act = this.#acts.get(client_id);
    if (!act) return;
    this.#remove(act);
    this.#changed(act.conversation);
    this.flush(act.conversation);
  }

  #next(conversation) {
    if (this.#inFlight.has(conversation) || this.#pauses.has(conversation)) return;
    const [act] = this.of(conversation);
    if (!act || act.failed) return;
    const timer = setTimeout(() => this.lost(act.client_id), ACK_WITHIN_MS);
    // Noted before the attempt: an answer may come while it is made.
    this.#inFlight.set(conversation, { client_id: act.client_id, timer });
    if (!this.#transmit(act)) this.#land(act);
    this.#changed(conversation);
  }

  #pause(conversation, ms) {
    clearTimeout(this.#pauses.get(conversation));
    const go = () => {
      this.#pauses.delete(conversation);
      this.#next(conversation);
    };
    this.#pauses.set(conversation, setTimeout(go, ms));
  }

  #endPause(conversation) {
    clearTimeout(this.#pauses.get(conversation));
    this.#pauses.delete(conversation);
  }

  #land(act) {
    const flying = this.#inFlight.get(act.conversation);
    if (flying?.client_id !== act.client_id) return;
    clearTimeout(flying.timer);
    this.#inFlight.delete(act.conversation);
  }

  #key(act) {
    return `${this.#user}.out.${act.conversation}.${act.client_id}`;
  }

  #keep(act) {
    this.#acts.set(act.client_id, act);
    storage.write(this.#key(act), act);
  }

  #remove(act) {
    this.#land(act);
    this.#acts.delete(act.client_id);
    storage.write(this.#key(act), null);
  }

  #load(key) {
    const act = storage.read(key);
    if (act?.client_id && act.conversation) this.#acts.set(act.client_id, act);
    return act;
  }

  #changedElsewhere(key) {
    const act = this.#load(key);
    const [conversation, client_id] = key.split(".").slice(2);
    if (!act) {
      const gone = this.#acts.get(client_id);
      if (!gone) return;
      this.#land(gone);
      this.#acts.delete(client_id);
    }
    this.#changed(conversation);
    this.flush(conversation);
  }

  #changed(conversation) {
    this.dispatchEvent(new CustomEvent("change", { detail: conversation }));
  }
}

// crypto.randomUUID exists only on secure origins; a clinic may be tried over plain HTTP.
function uuid4() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
