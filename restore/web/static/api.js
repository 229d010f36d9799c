/** Ask the server. Every error is one line, as an Error's message. */

export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server doesn't answer. Is `restore serve` still running?");
  }
  if (!response.ok) {
    let text = `${response.status} ${response.statusText}`;
    try {
      text = (await response.json()).error ?? text;
    } catch {
      /* not JSON: the status says it */
    }
    throw new Error(text);
  }
  return response;
}

export async function askJson(path, options) {
  return (await ask(path, options)).json();
}

export function sendJson(method, path, value) {
  const headers = { "Content-Type": "application/json" };
  return askJson(path, { method, headers, body: JSON.stringify(value) });
}

export function sendFile(path, field, file) {
  const form = new FormData();
  form.append(field, file, file.name || "pasted.png");
  return askJson(path, { method: "POST", body: form });
}

/** A picture to draw; decoded off the main thread. */
export async function askPicture(path) {
  const blob = await (await ask(path)).blob();
  return createImageBitmap(blob);
}

/**
 * Runs the newest of many wishes: one at a time, those in between are dropped.
 * @param {(wish: T) => Promise<void>} work
 */
export function newestOnly(work) {
  let running = false;
  let waiting = null;
  return async function wish(value) {
    waiting = { value };
    if (running) return;
    running = true;
    try {
      while (waiting) {
        const next = waiting;
        waiting = null;
        await work(next.value);
      }
    } finally {
      running = false;
    }
  };
}
