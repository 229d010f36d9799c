/** The photographs that are open, with their states. */

import { askJson } from "./api.js";

const at = (id) => document.getElementById(id);

export class Album extends EventTarget {
  constructor() {
    super();
    this.chosen = new Set();
    this.items = new Map();
    at("restore-all").addEventListener("click", () => this.#restore(null));
    at("restore-chosen").addEventListener("click", () => this.#restore([...this.chosen]));
    at("cancel-all").addEventListener("click", () => this.dispatchEvent(new Event("cancel")));
  }

  /** Show the server's state. */
  show(state, currentId) {
    const jobs = new Map(state.jobs.map((job) => [job.photo, job]));
    const present = new Set(state.photos.map((photo) => photo.id));
    for (const [id, item] of this.items) {
      if (present.has(id)) continue;
      item.element.remove();
      this.items.delete(id);
      this.chosen.delete(id);
    }
    for (const photo of state.photos) {
      if (!this.items.has(photo.id)) this.#add(photo);
      this.#update(this.items.get(photo.id), photo, jobs.get(photo.id), photo.id === currentId);
    }
    at("album").hidden = state.photos.length === 0 && !state.album;
    at("album-title").textContent = state.album ? `Album: ${state.album}` : "Photographs";
    at("album-count").textContent = state.photos.length === 1 ? "1 photograph" : `${state.photos.length} photographs`;
    at("restore-chosen").disabled = this.chosen.size === 0;
    at("restore-all").disabled = state.photos.length === 0;
    this.#showProgress(state);
  }

  #showProgress(state) {
    const jobs = state.jobs;
    const active = jobs.filter((job) => job.state === "queued" || job.state === "running");
    at("cancel-all").hidden = active.length === 0;
    at("album-progress").hidden = active.length === 0;
    if (active.length === 0) return;
    const done = jobs.reduce((sum, job) => sum + (active.includes(job) ? job.done_frac : 1), 0);
    at("album-bar").value = done / jobs.length;
    const finished = jobs.length - active.length;
    at("album-left").textContent = `${finished} of ${jobs.length} finished, ${sayTime(state.seconds_left)} left`;
  }

  #restore(ids) {
    this.dispatchEvent(new CustomEvent("restore", { detail: { ids, again: at("again").checked } }));
  }

  #add(photo) {
    const element = document.createElement("li");
    element.className = "thumb";
    element.dataset.id = photo.id;
    const open = document.createElement("button");
    open.type = "button";
    open.className = "open";
    const picture = document.createElement("img");
    picture.alt = `Open ${photo.name}`;
    picture.loading = "lazy";
    picture.src = `/api/photos/${photo.id}/thumb`;
    picture.addEventListener("error", () => {
      picture.remove();
      open.textContent = "can't be shown";
      open.setAttribute("aria-label", `${photo.name} can't be shown`);
      askJson(`/api/photos/${photo.id}`).catch((error) => {
        this.items.get(photo.id).problem = error.message;
        state.textContent = error.message;
        state.className = "state failed";
      });
    });
    open.append(picture);
    open.addEventListener("click", () => {
      this.dispatchEvent(new CustomEvent("open", { detail: photo.id }));
    });
    const below = document.createElement("div");
    below.className = "below";
    const label = document.createElement("label");
    label.className = "check";
    const check = document.createElement("input");
    check.type = "checkbox";
    check.addEventListener("change", () => {
      if (check.checked) this.chosen.add(photo.id);
      else this.chosen.delete(photo.id);
      at("restore-chosen").disabled = this.chosen.size === 0;
    });
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = photo.name;
    label.append(check, name);
    const state = document.createElement("span");
    state.className = "state";
    const act = document.createElement("div");
    act.className = "act";
    below.append(label, state, act);
    element.append(open, below);
    at("thumbs").append(element);
    this.items.set(photo.id, { element, state, act, shown: "" });
  }

  #update(item, photo, job, isCurrent) {
    item.element.classList.toggle("current", isCurrent);
    const [text, kind] = !job && item.problem ? [item.problem, "failed"] : sayState(photo, job);
    item.state.textContent = text;
    item.state.className = `state ${kind}`;
    const shown = `${kind}|${job?.id}|${photo.in_album}`;
    if (shown === item.shown) return;
    item.shown = shown;
    const parts = [];
    if (kind === "active") parts.push(this.#button("Cancel", photo, () => ["cancel-one", job.id]));
    if (kind === "done" && job?.state === "done" && job.kind === "download") {
      const link = document.createElement("a");
      link.className = "button";
      link.href = `/api/jobs/${job.id}/file`;
      link.textContent = "Download";
      link.setAttribute("aria-label", `Download ${job.name}`);
      parts.push(link);
    }
    if (!photo.in_album) parts.push(this.#button("Remove", photo, () => ["remove", photo.id]));
    item.act.replaceChildren(...parts);
  }

  #button(text, photo, what) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.setAttribute("aria-label", `${text} ${photo.name}`);
    button.addEventListener("click", () => {
      const [name, detail] = what();
      this.dispatchEvent(new CustomEvent(name, { detail }));
    });
    return button;
  }
}

function sayState(photo, job) {
  if (job?.state === "running") return [`restoring, ${Math.round(100 * job.done_frac)} %`, "active"];
  if (job?.state === "queued") return ["waiting", "active"];
  if (job?.state === "failed") return [job.error, "failed"];
  if (job?.state === "cancelled") return ["cancelled", ""];
  if (job?.state === "done") return ["restored", "done"];
  return photo.restored ? ["restored already", "done"] : ["not restored", ""];
}

export function sayTime(seconds) {
  if (seconds === null || seconds === undefined) return "some time";
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
