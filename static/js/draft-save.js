// One save of a draft over HTTP. The header says that nobody may be at the keyboard: a save by itself does
// not keep a session from running out.

export class SignedOut extends Error {}

const OVER = new Set([404, 409]); // and no other text to compare with: discarded, or signed
const SIGNED_OUT = new Set([401, 403]); // 403: another sign-in changed the form's token

export async function saveDraft(form, text, version, options = {}) {
  const fields = new URLSearchParams({
    csrfmiddlewaretoken: form.elements.csrfmiddlewaretoken.value,
    action: "save",
    body: text,
    version,
  });
  if (form.elements.kept) fields.set("kept", "1"); // the text that came back is what is edited here
  // Not form.action: the buttons have that name.
  const response = await fetch(form.getAttribute("action"), {
    method: "POST",
    body: fields,
    redirect: "manual",
    credentials: "same-origin",
    cache: "no-store",
    headers: { Accept: "application/json", "X-Background-Request": "1" },
    ...options,
  });
  if (response.type === "opaqueredirect" || SIGNED_OUT.has(response.status)) throw new SignedOut();
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const answer = isJson ? await response.json() : {};
  return {
    ...answer,
    ok: response.ok && isJson,
    isOver: OVER.has(response.status) && answer.body === undefined,
    again: response.status >= 500 || response.status === 429,
  };
}
