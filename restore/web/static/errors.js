/** Errors at the top of the page: one line each, until they are closed. */

const at = (id) => document.getElementById(id);

export function complain(error, kind = "") {
  if (kind && at("errors").querySelector(`.${kind}`)) return;
  if (!kind && [...at("errors").children].some((each) => each.firstChild.textContent === error.message)) return;
  const line = document.createElement("p");
  if (kind) line.className = kind;
  const text = document.createElement("span");
  text.textContent = error.message;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => line.remove());
  line.append(text, close);
  at("errors").append(line);
}

/** Take back the errors of a kind: what they said is over. */
export function settle(kind) {
  at("errors").querySelector(`.${kind}`)?.remove();
}
