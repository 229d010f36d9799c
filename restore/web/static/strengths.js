/** How much of what: the sliders, kept across reloads. */

const at = (id) => document.getElementById(id);

const STRENGTHS = [
  ["strength", "All of it", "How much of the whole restoration"],
  ["repair", "Repair", "Scratches, dust, stains and tears"],
  ["denoise", "Denoise", "Grain, noise and blur"],
  ["tone", "Tone", "Brightness and contrast"],
  ["color", "Colour", "Colours"],
  ["regrain", "Fresh grain", "Fine grain, so that faces aren't wax"],
];
const USUAL = {
  strength: 1, repair: 1, denoise: 0.75, tone: 1, color: 1, regrain: 0, colorize: true,
};

export class Strengths extends EventTarget {
  constructor() {
    super();
    this.values = { ...USUAL, ...read("settings") };
    for (const [name, label, help] of STRENGTHS) this.#addRow(name, label, help);
    at("colorize").addEventListener("change", () => this.#set("colorize", at("colorize").checked));
    at("reset").addEventListener("click", () => {
      this.values = { ...USUAL };
      this.#changed();
    });
    this.#show();
  }

  /** As the server names them: the command's options. */
  get fields() {
    const found = {};
    for (const [name] of STRENGTHS) found[name] = String(this.values[name]);
    if (!this.values.colorize) found["no-colorize"] = "1";
    return found;
  }

  #set(name, value) {
    this.values[name] = value;
    this.#changed();
  }

  #changed() {
    this.#show();
    localStorage.setItem("settings", JSON.stringify(this.values));
    this.dispatchEvent(new Event("change"));
  }

  #addRow(name, label, help) {
    const row = document.createElement("label");
    row.className = "strength";
    row.title = help;
    const text = document.createElement("span");
    text.textContent = label;
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: 100, step: 1, id: `s-${name}` });
    const value = document.createElement("output");
    value.className = "number";
    value.htmlFor = slider.id;
    slider.addEventListener("input", () => this.#set(name, slider.value / 100));
    row.append(text, slider, value);
    at("strengths").append(row);
  }

  #show() {
    for (const [name] of STRENGTHS) {
      const slider = at(`s-${name}`);
      slider.value = Math.round(this.values[name] * 100);
      slider.parentElement.querySelector("output").textContent = `${slider.value} %`;
    }
    at("colorize").checked = this.values.colorize;
  }
}

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "{}");
  } catch {
    return {};
  }
}
