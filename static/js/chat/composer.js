// Where messages are written: text that survives a reload, a reply or a change, and one file.

import * as storage from "./storage.js";
import { excerpt } from "./text.js";
import { upload } from "./uploads.js";
import { words } from "./words.js";

const LIMIT = 4_000; // characters, counted as the server does
const TYPING_EVERY_MS = 2_000;
const KEEP_AFTER_MS = 300;

// Events: "send" (detail: {body, reply_to, file}), "edit" (detail: {target, body}), "typing".
export class Composer extends EventTarget {
  #form;
  #text;
  #draftKey;
  #fileInput;
  #progress;
  #fileState;
  #problem;
  #sendButton;
  #quote;
  #replyTo = null; // {seq, who, text}
  #editing = null; // {seq, body}
  #file = null; // what the server says about the uploaded file
  #upload = null;
  #lastFile = null;
  #sendWhenUploaded = false;
  #typedAt = -Infinity;
  #keepTimer = 0;

  constructor(form, draftKey, uploadAddress) {
    super();
    this.#form = form;
    this.#draftKey = draftKey;
    this.#text = form.querySelector("[data-body-input]");
    this.#fileInput = form.querySelector("[data-file]");
    this.#progress = form.querySelector("[data-progress]");
    this.#fileState = form.querySelector("[data-file-state]");
    this.#quote = form.querySelector("[data-replying]");
    this.#sendButton = form.querySelector("[data-send]");
    this.#problem = document.createElement("p");
    this.#problem.className = "composer__problem govuk-error-message";
    this.#problem.setAttribute("role", "alert");
    this.#problem.hidden = true;
    this.#text.before(this.#problem);
    this.#text.removeAttribute("maxlength"); // counts otherwise than the server, and cuts silently
    this.#text.removeAttribute("required");
    this.#restore();

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#typed());
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    this.#text.addEventListener("paste", (event) => this.#pasted(event));
    this.#fileInput?.addEventListener("change", () => this.#chosen(this.#fileInput.files[0]));
    form.querySelector("[data-reply-cancel]")?.addEventListener("click", (event) => {
      event.preventDefault();
      this.cancel();
    });
    form.addEventListener("click", (event) => {
      if (event.target.matches("[data-file-remove]")) this.#removeFile();
      if (event.target.matches("[data-file-again]")) this.#chosen(this.#lastFile);
    });
    addEventListener("pagehide", () => this.#keep());
    this.uploadAddress = uploadAddress;
  }

  reply(quoted) {
    if (this.#editing) this.cancel();
    this.#replyTo = quoted;
    this.#showQuote(words("replyingTo"), quoted.who, quoted.text);
    this.#keep();
    this.#text.focus();
  }

  edit(seq, body) {
    this.#keep();
    this.#editing = { seq, body };
    this.#replyTo = null;
    this.#showQuote(words("changing"), "", excerpt(body));
    this.#text.value = body;
    this.#grow();
    this.#text.focus();
    this.#text.setSelectionRange(body.length, body.length);
  }

  // Ends a reply or a change; what was typed before a change comes back.
  cancel() {
    const wasEditing = Boolean(this.#editing);
    this.#editing = this.#replyTo = null;
    this.#showQuote();
    if (wasEditing) this.#restore();
    else this.#keep();
    this.#text.focus();
  }

  get isEmpty() {
    return !this.#text.value.trim() && !this.#file && !this.#upload;
  }

  #submit() {
    const body = this.#text.value.replace(/\r\n?/g, "\n");
    const length = [...body].length;
    if (length > LIMIT) {
      this.#say(words("tooLong", { count: length.toLocaleString("en-US") }));
      return;
    }
    if (this.#editing) {
      const { seq, body: before } = this.#editing;
      if (!body.trim()) {
        this.#say(words("empty"));
        return;
      }
      this.cancel();
      if (body !== before) this.#tell("edit", { target: seq, body });
      return;
    }
    if (this.#upload) {
      this.#sendWhenUploaded = true;
      return;
    }
    if (!body.trim() && !this.#file) {
      this.#say(words("empty"));
      this.#text.focus();
      return;
    }
    this.#tell("send", {
      body: body.trim() ? body : "",
      reply_to: this.#replyTo?.seq,
      file: this.#file ?? undefined,
    });
    this.#text.value = "";
    this.#replyTo = this.#file = null;
    this.#typedAt = -Infinity;
    this.#say("");
    this.#showQuote();
    this.#showFile();
    this.#grow();
    this.#keep();
    this.#text.focus({ preventScroll: true });
  }

  #key(event) {
    // Enter that ends a word of an input method is no Enter.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape" && (this.#editing || this.#replyTo)) {
      event.preventDefault();
      this.cancel();
    }
    // A touch keyboard has no Shift+Enter; there the button sends.
    if (event.key === "Enter" && !event.shiftKey && matchMedia("(pointer: fine)").matches) {
      event.preventDefault();
      this.#form.requestSubmit();
    }
  }

  #typed() {
    this.#grow();
    if (!this.#problem.hidden) this.#say("");
    clearTimeout(this.#keepTimer);
    this.#keepTimer = setTimeout(() => this.#keep(), KEEP_AFTER_MS);
    const now = performance.now();
    if (this.#editing || !this.#text.value.trim() || now - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = now;
    this.#tell("typing");
  }

  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight + 2}px`;
  }

  #keep() {
    clearTimeout(this.#keepTimer);
    if (this.#editing) return;
    const draft = { body: this.#text.value, reply: this.#replyTo, file: this.#file };
    const isEmpty = !draft.body && !draft.reply && !draft.file;
    storage.write(this.#draftKey, isEmpty ? null : draft);
  }

  #restore() {
    const draft = storage.read(this.#draftKey);
    // After a refused post without JavaScript the page itself brings the text.
    this.#text.value = draft?.body || (draft ? "" : this.#text.defaultValue);
    this.#replyTo = draft?.reply ?? null;
    this.#file = draft?.file ?? this.#file;
    if (this.#replyTo) this.#showQuote(words("replyingTo"), this.#replyTo.who, this.#replyTo.text);
    this.#showFile();
    this.#grow();
  }

  #showQuote(what = "", who = "", text = "") {
    if (!this.#quote) return;
    this.#quote.hidden = !what;
    this.#sendButton.textContent = words(this.#editing ? "save" : "send");
    const set = (selector, value) => {
      const node = this.#quote.querySelector(selector);
      if (node) node.textContent = value;
    };
    set("[data-replying-what]", what);
    set("[data-replying-who]", who);
    set("[data-replying-text]", text);
  }

  #say(sentence) {
    this.#problem.textContent = sentence;
    this.#problem.hidden = !sentence;
  }

  #pasted(event) {
    const [file] = event.clipboardData?.files ?? [];
    if (!file || !this.#fileInput) return;
    event.preventDefault();
    this.#chosen(file);
  }

  async #chosen(file) {
    if (!file || !this.uploadAddress) return;
    this.#removeFile();
    this.#lastFile = file;
    const show = (fraction) => {
      this.#progress.value = fraction;
      const percent = Math.round(fraction * 100);
      // Read out at the quarters only; the bar shows the rest.
      const said = percent - (percent % 25);
      this.#showState(words("uploading", { name: file.name, percent: said }), ["remove"]);
    };
    this.#progress.max = 1;
    this.#progress.hidden = false;
    show(0);
    const running = upload(this.uploadAddress, file, show);
    this.#upload = running;
    try {
      const stored = await running.done;
      if (this.#upload !== running) return;
      this.#upload = null;
      this.#file = stored;
      this.#showFile();
      this.#keep();
      if (this.#sendWhenUploaded) this.#submit();
    } catch (error) {
      if (this.#upload !== running) return;
      this.#upload = null;
      this.#progress.hidden = true;
      this.#showState(error.message || words("uploadFailed", { name: file.name }), [
        ...(error.message ? [] : ["again"]),
        "remove",
      ]);
    }
    this.#sendWhenUploaded = false;
  }

  #removeFile() {
    const running = this.#upload;
    this.#upload = this.#file = null;
    this.#sendWhenUploaded = false;
    running?.cancel();
    this.#showFile();
    this.#keep();
  }

  #showFile() {
    if (!this.#fileInput) return;
    this.#progress.hidden = true;
    this.#fileInput.value = ""; // the file is uploaded on its own, and never with the form
    if (this.#file) this.#showState(words("uploaded", { name: this.#file.name }), ["remove"]);
    else this.#showState("", []);
  }

  #showState(text, choices) {
    const names = choices.join();
    if (this.#fileState.dataset.shown === text + names) return;
    this.#fileState.dataset.shown = text + names;
    this.#fileState.replaceChildren(text);
    this.#fileState.hidden = !text;
    for (const name of choices) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button-link composer__choice";
      button.dataset[name === "again" ? "fileAgain" : "fileRemove"] = "";
      button.textContent = words(name === "again" ? "retry" : "removeFile");
      this.#fileState.append(" ", button);
    }
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
