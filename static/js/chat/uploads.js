// One file on its way to the server, with its progress. XMLHttpRequest, because fetch tells nothing
// about how much has gone out.

import { csrfToken } from "./http.js";

const GIVE_UP_MS = 5 * 60_000;

// onProgress(fraction) is called as bytes go out. Resolves to the attachment as the server describes
// it; rejects with an Error whose message is the server's sentence, or empty when the network failed.
export function upload(address, file, onProgress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    const form = new FormData();
    form.set("csrfmiddlewaretoken", csrfToken());
    form.set("file", file);
    request.open("POST", address);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.timeout = GIVE_UP_MS;
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    };
    request.onload = () => {
      const answer = request.response;
      if (request.status < 300 && answer?.id) resolve(answer);
      else reject(new Error(answer?.detail ?? answer?.error ?? ""));
    };
    request.onerror = request.ontimeout = () => reject(new Error(""));
    request.send(form);
  });
  return { done, cancel: () => request.abort() };
}
