// What survives a reload on this device: unsent messages and typed text, under the user's id.
// Nothing that was sent is kept, and a page of somebody else, or of nobody, clears it.

const PREFIX = "clinic.chat.";
const SIGNED_OUT = "signed-out"; // tells the other tabs, which must not write any more either

let isSealed = false;
addEventListener("storage", (event) => {
  if (event.key === PREFIX + SIGNED_OUT && event.newValue) isSealed = true;
});

export function read(key) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + key));
  } catch {
    return null;
  }
}

// Without storage (private windows, full disks) everything still works until the page is closed.
export function write(key, value) {
  if (isSealed && value !== null) return;
  try {
    if (value === null) localStorage.removeItem(PREFIX + key);
    else localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    /* as above */
  }
}

export function keys(start) {
  try {
    return Object.keys(localStorage)
      .filter((key) => key.startsWith(PREFIX + start))
      .map((key) => key.slice(PREFIX.length));
  } catch {
    return [];
  }
}

export function keepOnlyOf(user) {
  for (const key of keys("")) if (!user || !key.startsWith(`${user}.`)) write(key, null);
}

export function signOut() {
  keepOnlyOf(null);
  write(SIGNED_OUT, Date.now());
  isSealed = true;
}

// Calls back with the key when another tab of this browser changed something.
export function onChange(callback) {
  addEventListener("storage", (event) => {
    if (event.key?.startsWith(PREFIX)) callback(event.key.slice(PREFIX.length));
  });
}
