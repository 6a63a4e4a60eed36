// Passkeys: the button asks the browser, the answer travels in the page's own form.

const form = document.querySelector("form[data-passkey]");
const options = JSON.parse(document.getElementById("passkey-options").textContent);
const failed = form.querySelector("[data-passkey-failed]");

if (window.PublicKeyCredential) {
  form.hidden = false;
  form.elements.credential.value = ""; // a JSON field that is empty says "null"
  form.querySelector("[data-passkey-start]").addEventListener("click", ask);
  // Enter in the name field asks as well, instead of sending a form without a passkey.
  form.addEventListener("submit", (event) => {
    if (form.elements.credential.value) return;
    event.preventDefault();
    ask();
  });
}

async function ask() {
  failed.hidden = true;
  try {
    const answer =
      form.dataset.passkey === "create"
        ? await navigator.credentials.create({ publicKey: forCreating(options.creation_options.publicKey) })
        : await navigator.credentials.get({ publicKey: forGetting(options.request_options.publicKey) });
    form.elements.credential.value = JSON.stringify(asJson(answer));
    form.submit();
  } catch {
    failed.hidden = false; // refused, timed out, or no passkey of this site here
  }
}

function forCreating(given) {
  return {
    ...given,
    challenge: bytes(given.challenge),
    user: { ...given.user, id: bytes(given.user.id) },
    excludeCredentials: (given.excludeCredentials ?? []).map(withBytes),
  };
}

function forGetting(given) {
  return {
    ...given,
    challenge: bytes(given.challenge),
    allowCredentials: (given.allowCredentials ?? []).map(withBytes),
  };
}

function withBytes(credential) {
  return { ...credential, id: bytes(credential.id) };
}

function asJson(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    response,
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

function bytes(base64url) {
  const plain = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

function text(buffer) {
  const plain = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
