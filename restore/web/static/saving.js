/** The panel that saves a photograph at full size, and says how far it is. */
import { sayTime } from "./album.js";

const at = (id) => document.getElementById(id);

export class SavePanel extends EventTarget {
  constructor() {
    super();
    this.followed = null; // the work whose result is downloaded as soon as it is there
    for (const [id, kind] of [["download", "download"], ["save-beside", "album"]]) {
      at(id).addEventListener("click", () => {
        this.dispatchEvent(new CustomEvent("save", { detail: { kind } }));
      });
    }
  }

  follow(id) {
    this.followed = id;
  }

  clear() {
    at("job").replaceChildren();
    delete at("job").dataset.id;
    at("download").disabled = at("save-beside").disabled = false;
  }

  say(text, kind = "") {
    at("job").replaceChildren(paragraph(text, kind));
  }

  /** Show a work of the photograph that is open. */
  show(job) {
    const active = job.state === "queued" || job.state === "running";
    at("download").disabled = at("save-beside").disabled = active;
    if (active) {
      this.#showProgress(job);
      return;
    }
    if (at("job").dataset.id === `${job.id} ended`) return;
    at("job").dataset.id = `${job.id} ended`;
    if (job.state === "failed") this.say(job.error, "bad");
    else if (job.state === "cancelled") this.say("Cancelled.");
    else if (job.kind === "album") this.say(`Saved as ${job.name}.`, "good");
    else this.#showResult(job);
  }

  #showProgress(job) {
    if (at("job").dataset.id !== job.id) {
      at("job").dataset.id = job.id;
      const bar = document.createElement("progress");
      bar.max = 1;
      bar.setAttribute("aria-label", "Progress");
      const cancel = document.createElement("button");
      cancel.type = "button";
      cancel.textContent = "Cancel";
      cancel.addEventListener("click", () => {
        this.dispatchEvent(new CustomEvent("cancel", { detail: job.id }));
      });
      at("job").replaceChildren(bar, paragraph(""), cancel);
    }
    at("job").querySelector("progress").value = job.done_frac;
    const percent = `${Math.round(100 * job.done_frac)} %, ${sayTime(job.seconds_left)} left`;
    at("job").querySelector("p").textContent = job.state === "queued" ? "waiting" : percent;
  }

  #showResult(job) {
    const link = document.createElement("a");
    link.href = `/api/jobs/${job.id}/file`;
    link.className = "button";
    link.textContent = `Save ${job.name}`;
    at("job").replaceChildren(link, ...job.notices.map((text) => paragraph(text, "quiet")));
    if (this.followed !== job.id) return;
    this.followed = null;
    link.click();
  }
}

function paragraph(text, kind = "") {
  const line = document.createElement("p");
  line.textContent = text;
  line.className = kind;
  return line;
}
