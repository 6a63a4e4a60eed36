// A note's draft saves itself. The server decides which text is newer: a save names the version it began
// from, and one that is out of date comes back (409) with the other text, so that nothing is overwritten.
// What is not stored yet stays in this tab's sessionStorage, through reloads, lost networks and signing in
// again; it goes with the tab, and when somebody signs out.

import { SignedOut, saveDraft } from "./draft-save.js";

const SAVE_AFTER_MS = 1500; // after the last key
const SAVE_AT_LEAST_EVERY_MS = 10 * 1000; // while somebody goes on typing
const FIRST_RETRY_MS = 3 * 1000;
const LONGEST_RETRY_MS = 60 * 1000;
const PREFIX = "clinic.draft.";

const form = document.querySelector("form[data-draft]");
const words = (name) => form.dataset[`words${name}`];

class Draft {
  constructor() {
    this.area = form.elements.body;
    this.versionField = form.elements.version;
    this.state = form.querySelector("[data-draft-state]");
    this.now = form.querySelector("[data-draft-now]"); // for the eyes only: not announced at each key
    this.panel = form.querySelector("[data-draft-conflict]");
    this.key = `${PREFIX}${form.dataset.user}.${form.dataset.draft}`;
    this.stored = this.area.value; // what the server has, as far as this page knows
    this.inConflict = "conflict" in form.dataset; // the server showed both texts already
    this.isOver = false; // signed or discarded elsewhere
    this.leaving = false;
    this.saving = null;
    this.sent = null; // a text that this window sent without hearing whether it arrived
    this.retryMs = FIRST_RETRY_MS;
    // Text that came back after signing in again is on the page and not on the server.
    this.wasKept = "unsaved" in form.dataset;
    if (this.inConflict || this.wasKept) this.stored = null;
  }

  get text() {
    return this.area.value;
  }

  get isUnsaved() {
    return this.text !== this.stored;
  }

  start() {
    forgetOthers();
    this.takeUpKept();
    if (this.wasKept) this.saveSoon();
    this.area.addEventListener("input", () => this.typed());
    form.addEventListener("submit", (event) => this.submitted(event));
    addEventListener("online", () => this.saveSoon(0));
    addEventListener("pagehide", () => this.saveLast());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.saveLast();
    });
    addEventListener("beforeunload", (event) => {
      const inTrouble = this.inConflict || this.isOver || "trouble" in this.state.dataset;
      if (this.isUnsaved && inTrouble && !this.leaving) event.preventDefault();
    });
    form.querySelector("[data-draft-mine]").addEventListener("click", () => this.keepMine());
    form.querySelector("[data-draft-theirs]").addEventListener("click", () => this.keepTheirs());
  }

  // Text that this tab kept because it could not be stored.
  takeUpKept() {
    const kept = read(this.key);
    if (!kept || this.inConflict) return;
    if (kept.text === this.text) {
      write(this.key, null);
      return;
    }
    const theirs = this.text;
    this.area.value = this.sent = kept.text;
    if (String(kept.version) === this.versionField.value) {
      this.say(words("Kept"), "kept");
      this.saveSoon();
    } else {
      this.conflict(theirs, this.versionField.value);
    }
  }

  typed() {
    write(this.key, { text: this.text, version: this.versionField.value });
    if (this.inConflict || this.isOver) return;
    this.show("Unsaved");
    this.firstUnsaved ??= Date.now();
    const sinceFirst = Date.now() - this.firstUnsaved;
    this.saveSoon(Math.min(SAVE_AFTER_MS, Math.max(0, SAVE_AT_LEAST_EVERY_MS - sinceFirst)));
  }

  saveSoon(ms = SAVE_AFTER_MS) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), ms);
  }

  // Whether everything is stored afterwards.
  async save() {
    clearTimeout(this.timer);
    if (this.saving) await this.saving;
    if (this.inConflict || this.isOver) return false;
    if (!this.isUnsaved) return true;
    this.saving = this.saveNow();
    const isStored = await this.saving;
    this.saving = null;
    if (isStored && this.isUnsaved) this.saveSoon();
    return isStored && !this.isUnsaved;
  }

  async saveNow() {
    const text = this.text;
    this.show("Saving");
    try {
      const answer = await saveDraft(form, text, this.versionField.value);
      if (answer.ok) return this.saved(text, answer);
      if (answer.body !== undefined) this.conflict(answer.body, answer.version);
      else if (answer.isOver) this.over(answer.message);
      else this.trouble(answer.message || words("Failed"), answer.again);
    } catch (error) {
      if (error instanceof SignedOut) this.signedOut();
      else this.trouble(navigator.onLine ? words("Failed") : words("Offline"), true);
    }
    return false;
  }

  saved(text, answer) {
    this.stored = text;
    this.versionField.value = answer.version;
    this.firstUnsaved = undefined;
    this.retryMs = FIRST_RETRY_MS;
    if (this.isUnsaved) write(this.key, { text: this.text, version: answer.version });
    else write(this.key, null);
    delete this.state.dataset.trouble;
    this.say(words("Saved").replace("%s", answer.saved));
    return true;
  }

  trouble(message, again) {
    this.state.dataset.trouble = "1";
    this.say(message, "kept");
    if (!again) return;
    this.saveSoon(this.retryMs);
    this.retryMs = Math.min(LONGEST_RETRY_MS, this.retryMs * 2);
  }

  signedOut() {
    this.state.dataset.trouble = "1";
    const link = document.createElement("a");
    link.className = "govuk-link";
    link.href = `${form.dataset.signIn}?next=${encodeURIComponent(location.pathname)}`;
    link.textContent = words("SignIn");
    link.addEventListener("click", () => (this.leaving = true));
    this.say(words("SignedOut"), "kept", link);
  }

  over(message) {
    this.isOver = true;
    this.say(`${message ?? ""} ${words("Gone")}`.trim(), "kept");
  }

  conflict(theirs, version) {
    if (theirs === this.sent) {
      // The other text is what this window itself sent last: nobody else wrote in between.
      this.stored = theirs;
      this.versionField.value = version;
      this.saveSoon(0);
      return;
    }
    this.inConflict = true;
    this.theirs = theirs;
    this.theirVersion = version;
    write(this.key, { text: this.text, version: this.versionField.value });
    this.panel.querySelector("[data-draft-other]").textContent = theirs;
    this.panel.hidden = false;
    this.say(words("Choose"), "conflict");
    this.panel.querySelector("[tabindex]").focus();
  }

  keepMine() {
    this.stored = this.theirs;
    this.goOn();
    if (this.isUnsaved) this.saveSoon(0);
  }

  keepTheirs() {
    this.area.value = this.stored = this.theirs;
    write(this.key, null);
    this.goOn();
  }

  goOn() {
    this.inConflict = false;
    this.versionField.value = this.theirVersion;
    this.panel.hidden = true;
    delete this.state.dataset.trouble;
    this.say("");
    this.area.focus();
  }

  // The buttons are plain form posts. What is typed is stored first, in a way that loses nothing when the
  // sign-in has run out meanwhile.
  async submitted(event) {
    if (this.leaving) return;
    const button = event.submitter;
    if (button?.value === "discard") {
      write(this.key, null);
      this.leaving = true;
      return;
    }
    if (!this.isUnsaved && !this.saving) {
      this.leaving = true;
      return;
    }
    event.preventDefault();
    if (this.inConflict && !this.theirVersion) {
      // The server's page about a conflict: sending it again is the choice.
      this.leaving = true;
      form.requestSubmit(button);
    } else if (await this.save()) {
      this.leaving = true;
      form.requestSubmit(button);
    }
  }

  saveLast() {
    if (this.leaving || this.inConflict || this.isOver || !this.isUnsaved || this.saving) return;
    this.sent = this.text;
    saveDraft(form, this.text, this.versionField.value, { keepalive: true }).catch(() => {});
  }

  show(name) {
    this.now.textContent = this.state.dataset.trouble ? "" : words(name);
  }

  say(text, kind = "", ...more) {
    this.now.textContent = "";
    if (this.state.textContent === text && this.state.dataset.state === kind) return;
    this.state.dataset.state = kind;
    this.state.replaceChildren(text, ...(more.length ? [" ", ...more] : []));
  }
}

function read(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;
  }
}

// Without storage everything still works until the page is closed.
function write(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    /* as above */
  }
}

function forget(isMeant) {
  for (const key of Object.keys(sessionStorage)) {
    if (key.startsWith(PREFIX) && isMeant(key)) sessionStorage.removeItem(key);
  }
}

function forgetOthers() {
  forget((key) => !key.startsWith(`${PREFIX}${form.dataset.user}.`));
}

document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-sign-out], #logout-form")) forget(() => true);
});

if (form) new Draft().start();
