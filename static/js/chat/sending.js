// How what the outbox holds goes out: over the tab's socket, or over HTTP where none gets through.

import { of } from "./addresses.js";
import { SignedOut, post } from "./http.js";
import { Outbox } from "./outbox.js";

const PATHS = { send: "", edit: "edit/", delete: "delete/" };
const FIELDS = ["client_id", "body", "reply_to", "attachment", "target"];

// The outbox of this person whose acts go out over `line`; onSignedOut() when HTTP says so.
export function outboxOver(line, user, onSignedOut) {
  const outbox = new Outbox(user, transmit);
  line.addEventListener("frame", ({ detail: frame }) => {
    if (frame.type === "ack") outbox.acknowledged(frame.client_id, frame);
    else if (frame.type === "error" && frame.client_id) refused(frame.client_id, frame);
    // Its event says the same, when the answer was lost.
    else if (frame.sender === user && frame.client_id) outbox.acknowledged(frame.client_id, frame);
  });
  line.addEventListener("down", () => outbox.restart());
  return outbox;

  function transmit(act) {
    const fields = {};
    for (const name of FIELDS) if (act[name] !== undefined) fields[name] = act[name];
    if (line.send({ type: act.type, conversation: act.conversation, ...fields })) return true;
    if (!line.isBlocked || navigator.onLine === false) return false;
    post(of(act.conversation, PATHS[act.type]), fields).then(answered, (error) => {
      if (error instanceof SignedOut) onSignedOut();
      outbox.lost(act.client_id);
    });
    return true;

    function answered(frame) {
      if (frame.type === "ack") outbox.acknowledged(act.client_id, frame);
      else refused(act.client_id, frame);
    }
  }

  function refused(client_id, frame) {
    outbox.refused(client_id, frame.detail, frame.retry_after_ms ?? null);
  }
}
