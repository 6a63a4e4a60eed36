// The same acts over HTTP, for networks that let no socket through.

export class SignedOut extends Error {}

class Unexpected extends Error {
  constructor(response, address) {
    super(`${response.status} for ${address}`);
    this.status = response.status;
  }
}

// A page that was signed out answers every address with the way to the sign-in.
async function answer(address, options = {}) {
  const response = await fetch(address, {
    redirect: "manual",
    credentials: "same-origin",
    cache: "no-store",
    ...options,
    headers: { Accept: "application/json", ...options.headers },
  });
  if (response.type === "opaqueredirect" || response.status === 401) throw new SignedOut();
  return response;
}

export async function getJson(address) {
  const response = await answer(address);
  if (!response.ok) throw new Unexpected(response, address);
  return response.json();
}

// The answer's frame: an ack, an error, or whatever the address gives.
export async function post(address, fields) {
  const form = new URLSearchParams({ csrfmiddlewaretoken: csrfToken() });
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined && value !== null) form.set(name, value);
  }
  const response = await answer(address, { method: "POST", body: form });
  const frame = await response.json();
  if (!response.ok && frame.type !== "error") throw new Unexpected(response, address);
  return frame;
}

export function csrfToken() {
  return document.querySelector("input[name=csrfmiddlewaretoken]")?.value ?? "";
}
