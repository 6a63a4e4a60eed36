// One socket for everything this tab has to do with messages: it comes back by itself, notices when
// it is dead, and says so. Frames and what they mean: docs/chat-protocol.md.

const PROTOCOL = "clinic.chat.v1";
const PING_EVERY_MS = 25_000;
const PONG_WITHIN_MS = 10_000; // with the ping's 25 s: 35 s of silence count as dead
const RETRY_LEAST_MS = 250;
const RETRY_MOST_MS = 25_000;
const WELCOME_WITHIN_MS = 10_000;
const BLOCKED_AFTER = 2; // attempts that never opened; then pages poll until one does

export const CLOSED_SIGNED_OUT = 4401;
export const CLOSED_WITHDRAWN = 4403;

// Events: "frame" (detail: the frame), "up" (after the welcome, detail: it), "down",
// "ended" (signed out: no further attempts), "withdrawn", "blocked" (sockets do not get through).
export class Connection extends EventTarget {
  #address;
  #socket = null;
  #attempt = 0;
  #neverOpened = 0;
  #retryTimer = 0;
  #pingTimer = 0;
  #pongTimer = 0;
  #pauseMs = null;
  welcome = null; // the last one
  isUp = false;
  isEnded = false;
  isBlocked = false;

  constructor(address) {
    super();
    this.#address = address;
    addEventListener("online", () => this.tryNow());
    // What the system calls offline is; a socket would find out only after 35 s.
    addEventListener("offline", () => this.#drop());
    addEventListener("pagehide", () => this.#drop({ retry: false }));
    addEventListener("pageshow", (event) => event.persisted && this.tryNow());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.tryNow();
    });
  }

  start() {
    if (!this.#socket && !this.isEnded) this.#open();
    return this;
  }

  // Connects at once when a wait is running; asks whether an open socket is still alive.
  tryNow() {
    if (this.isEnded) return;
    if (this.isUp) this.#ping();
    else if (!this.#socket) this.#open();
  }

  // Whether the frame was handed to an open socket. It can still be lost on the way.
  send(frame) {
    if (!this.isUp || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #open() {
    clearTimeout(this.#retryTimer);
    if (navigator.onLine === false) return; // "online" will call again
    let socket;
    try {
      socket = new WebSocket(this.#address, PROTOCOL);
    } catch {
      this.#failed(null);
      return;
    }
    this.#socket = socket;
    this.#pauseMs = null;
    this.#pongTimer = setTimeout(() => this.#drop(), WELCOME_WITHIN_MS);
    socket.onmessage = (event) => this.#received(event.data);
    socket.onclose = (event) => this.#failed(event.code);
  }

  #received(text) {
    clearTimeout(this.#pongTimer);
    const frame = JSON.parse(text);
    if (frame.type === "welcome") {
      this.isUp = true;
      this.welcome = frame;
      this.isBlocked = false;
      this.#attempt = this.#neverOpened = 0;
      clearInterval(this.#pingTimer);
      this.#pingTimer = setInterval(() => this.#ping(), PING_EVERY_MS);
      this.#say("up", frame);
    } else if (frame.type === "bye") {
      this.#pauseMs = frame.retry_ms ?? null;
    }
    this.#say("frame", frame);
  }

  #ping() {
    this.send({ type: "ping" });
    // Counted from the ping and not from the last frame: hidden pages have slow timers.
    clearTimeout(this.#pongTimer);
    this.#pongTimer = setTimeout(() => this.#drop(), PONG_WITHIN_MS);
  }

  // Gives the socket up without waiting for its closing handshake, which a dead network never ends.
  #drop({ retry = true } = {}) {
    const socket = this.#socket;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
    this.#failed(null, retry);
  }

  #failed(code, retry = true) {
    const wasUp = this.isUp;
    this.#socket = null;
    this.isUp = false;
    clearInterval(this.#pingTimer);
    clearTimeout(this.#pongTimer);
    if (code === CLOSED_SIGNED_OUT) {
      this.isEnded = true;
      this.#say("ended");
      return;
    }
    if (code === CLOSED_WITHDRAWN) this.#say("withdrawn");
    if (wasUp) this.#say("down");
    if (!retry) return;
    if (!wasUp && navigator.onLine !== false && ++this.#neverOpened >= BLOCKED_AFTER) {
      this.isBlocked = true;
      this.#say("blocked");
    }
    this.#retryTimer = setTimeout(() => this.#open(), this.#pauseMs ?? this.#jitter());
  }

  // Full jitter: everybody comes back at another moment.
  #jitter() {
    const most = Math.min(RETRY_MOST_MS, 2 * RETRY_LEAST_MS * 2 ** this.#attempt++);
    return RETRY_LEAST_MS + Math.random() * (most - RETRY_LEAST_MS);
  }

  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

let shared = null;

// The tab's one connection.
export function connection() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  shared ??= new Connection(`${scheme}//${location.host}/ws/chat/`);
  return shared.start();
}
