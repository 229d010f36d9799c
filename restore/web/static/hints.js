/** The eyedropper's panel: colours to choose from, and the list of hints. */

/** Colours that things in photographs plausibly have; by what they are. */
const PALETTE = [
  ["light skin", "#e0b49a"], ["tanned skin", "#c58c68"], ["dark skin", "#7a4b33"],
  ["lips", "#b0615a"], ["fair hair", "#c9a66b"], ["brown hair", "#5a3d2b"],
  ["red hair", "#9c4f2a"], ["blue eyes", "#6d8fae"], ["grass", "#6c8a48"],
  ["leaves", "#3f5f35"], ["sky", "#9fc0dd"], ["sea", "#4f7f8f"],
  ["wood", "#8a6642"], ["brick", "#a0583f"], ["sand", "#d3bd94"],
  ["denim", "#46607f"], ["navy cloth", "#2b3550"], ["uniform green", "#5d6044"],
  ["red cloth", "#9e2f33"], ["pink cloth", "#d99aa6"], ["yellow cloth", "#d9b84e"],
  ["green cloth", "#4d7a5c"], ["violet cloth", "#7a5a86"], ["cream", "#efe4cb"],
];

const at = (id) => document.getElementById(id);

export class HintPanel extends EventTarget {
  constructor() {
    super();
    this.color = PALETTE[0][1];
    this.#fillPalette();
    at("wheel").addEventListener("input", (event) => this.choose(event.target.value));
    at("hints-clear").addEventListener("click", () => this.#change([]));
    at("sample").addEventListener("click", () => at("sample-file").click());
    at("sample-file").addEventListener("change", (event) => this.#sampleFrom(event.target));
    at("sample-canvas").addEventListener("click", (event) => this.#sample(event));
  }

  /** Whether the weights take hints; if not, why. */
  allow(reason) {
    at("hint-reason").hidden = !reason;
    at("hint-reason").textContent = reason && `Not with these weights: ${reason}.`;
    at("hint-tools").hidden = Boolean(reason);
    const tool = document.querySelector('input[name=tool][value="hint"]');
    tool.disabled = Boolean(reason);
    tool.parentElement.title = reason || "Say what colour a place has (C)";
  }

  choose(color) {
    this.color = color;
    at("wheel").value = color;
    for (const button of at("palette").children) {
      const chosen = button.dataset.color === color;
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
    const first = at("palette").firstElementChild;
    if (![...at("palette").children].some((b) => b.tabIndex === 0)) first.tabIndex = 0;
  }

  show(hints) {
    this.hints = hints;
    at("hint-list").replaceChildren(
      ...hints.map((hint, i) => {
        const item = document.createElement("li");
        const row = document.createElement("div");
        const color = document.createElement("input");
        color.type = "color";
        color.value = hint.color;
        color.setAttribute("aria-label", `Colour of hint ${i + 1}`);
        color.addEventListener("change", () => {
          this.#change(hints.map((h, k) => (k === i ? { ...h, color: color.value } : h)));
        });
        const place = document.createElement("span");
        place.className = "place";
        place.textContent = `at ${Math.floor(hint.x_px)}, ${Math.floor(hint.y_px)}`;
        const remove = document.createElement("button");
        remove.type = "button";
        remove.textContent = "Remove";
        remove.setAttribute("aria-label", `Remove hint ${i + 1}`);
        remove.addEventListener("click", () => this.#change(hints.filter((_, k) => k !== i)));
        row.append(color, place, remove);
        item.append(row);
        return item;
      }),
    );
    at("hints-clear").disabled = hints.length === 0;
  }

  #change(hints) {
    this.dispatchEvent(new CustomEvent("change", { detail: hints }));
  }

  #fillPalette() {
    for (const [name, color] of PALETTE) {
      const button = document.createElement("button");
      button.type = "button";
      button.role = "radio";
      button.title = name;
      button.dataset.color = color;
      button.style.background = color;
      button.setAttribute("aria-label", name);
      button.addEventListener("click", () => this.choose(color));
      button.addEventListener("keydown", (event) => {
        const turn = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!turn) return;
        event.preventDefault();
        const all = [...at("palette").children];
        const next = all[(all.indexOf(button) + turn + all.length) % all.length];
        this.choose(next.dataset.color);
        next.focus();
      });
      at("palette").append(button);
    }
    this.choose(this.color);
  }

  async #sampleFrom(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const canvas = at("sample-canvas");
    try {
      const picture = await createImageBitmap(file);
      const scale = Math.min(1, 640 / Math.max(picture.width, picture.height));
      canvas.width = Math.max(1, Math.round(picture.width * scale));
      canvas.height = Math.max(1, Math.round(picture.height * scale));
      canvas.getContext("2d", { willReadFrequently: true }).drawImage(
        picture, 0, 0, canvas.width, canvas.height,
      );
      canvas.hidden = false;
    } catch {
      this.dispatchEvent(new CustomEvent("problem", {
        detail: `${file.name}: this browser can't show it; take a JPEG or PNG`,
      }));
    }
  }

  #sample(event) {
    const canvas = event.target;
    const box = canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) * canvas.width) / box.width);
    const y = Math.floor(((event.clientY - box.top) * canvas.height) / box.height);
    const side = 3; // a mean of few pixels: one alone may be grain
    const { data } = canvas.getContext("2d").getImageData(x - 1, y - 1, side, side);
    const sums = [0, 0, 0, 0];
    for (let i = 0; i < data.length; i++) sums[i % 4] += data[i] * (i % 4 === 3 || data[i - (i % 4) + 3] ? 1 : 0);
    const count = Math.max(1, sums[3] / 255);
    const hex = (value) => Math.round(value / count).toString(16).padStart(2, "0");
    this.choose(`#${hex(sums[0])}${hex(sums[1])}${hex(sums[2])}`);
  }
}
