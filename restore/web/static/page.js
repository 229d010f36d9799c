/** The page: one photograph on the stage, its settings beside it, the album below. */
import { Album } from "./album.js";
import { onFiles } from "./bring.js";
import { ask, askJson, askPicture, newestOnly, sendFile, sendJson } from "./api.js";
import { Edits } from "./edits.js";
import { complain, settle } from "./errors.js";
import { HintPanel } from "./hints.js";
import { listenToKeys } from "./keys.js";
import { SavePanel } from "./saving.js";
import { Strengths } from "./strengths.js";
import { Viewer } from "./viewer.js";

const at = (id) => document.getElementById(id);

const MAX_PART_PX = 1_600_000;

const viewer = new Viewer(at("canvas"));
const album = new Album();
const hints = new HintPanel();
const strengths = new Strengths();
let state = { photos: [], jobs: [] };
let current = null; // {id, name, size, edits, revision, in_album}
let measured = false;
let allUploads = 0;

function query(extra = {}) {
  return new URLSearchParams({ ...strengths.fields, v: `${current.revision}`, ...extra }).toString();
}

strengths.addEventListener("change", () => {
  forgetMeasure();
  if (current) refresh(current.id);
});

// ---- the photograph on the stage ----------------------------------------------------------

async function open(id) {
  let photo;
  try {
    await sendNow().catch(complain);
    photo = await askJson(`/api/photos/${id}`);
  } catch (error) {
    complain(error);
    return;
  }
  const edits = new Edits(photo.edits);
  current = { ...photo, edits };
  history.replaceState(null, "", `#${id}`);
  at("start").hidden = true;
  at("work").hidden = false;
  at("photo-name").textContent = photo.name;
  const [width, height] = photo.size;
  at("photo-size").textContent = `${width} × ${height} px`;
  at("save-beside").hidden = !photo.in_album;
  at("marks-save").href = `/api/photos/${id}/marks`;
  at("hints-save").href = `/api/photos/${id}/hints`;
  saving.clear();
  document.title = `${photo.name} – Restore photographs`;
  viewer.open(width, height);
  marksRevision = "";
  forgetMeasure();
  showEdits();
  album.show(state, id);
  describe();
  busy("Opening…");
  try {
    const before = await askPicture(`/api/photos/${id}/preview/before`);
    if (current.id !== id) return;
    viewer.pictures.before = before;
    viewer.draw();
    await refresh(id);
  } catch (error) {
    busy("");
    complain(error);
  }
}

let marksRevision = ""; // strengths don't change the marks
const refresh = newestOnly(async (id) => {
  if (!current || current.id !== id) return;
  busy("Restoring…");
  at("picture").setAttribute("aria-busy", "true");
  try {
    const wanted = query();
    if (viewer.part) await wishPart(id); // what is looked at comes first
    const after = await askPicture(`/api/photos/${id}/preview/after?${wanted}`);
    if (current.id !== id) return;
    viewer.pictures.after = after;
    viewer.draw();
    if (marksRevision !== `${id} ${current.revision}`) {
      const revision = `${id} ${current.revision}`;
      const marks = await askPicture(`/api/photos/${id}/preview/marks?${wanted}`);
      if (current.id !== id) return;
      viewer.found = tint(marks);
      marksRevision = revision;
    }
    viewer.strokes = unsent(); // the others are in the marks now
    viewer.draw();
    describe();
    busy("");
    refreshPart();
    at("picture").dataset.shown = `${id} ${wanted}`;
  } catch (error) {
    busy("");
    if (current?.id === id) complain(error);
  }
  at("picture").removeAttribute("aria-busy");
});

function unsent() {
  return current.edits.marking.slice(current.sent ?? 0).filter((step) => step.kind === "stroke");
}

/** Marks as red, where there are any. */
function tint(marks) {
  const canvas = document.createElement("canvas");
  canvas.width = marks.width;
  canvas.height = marks.height;
  const to = canvas.getContext("2d", { willReadFrequently: true });
  to.drawImage(marks, 0, 0);
  const pixels = to.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    pixels.data[i + 3] = pixels.data[i];
    pixels.data[i] = 255;
    pixels.data[i + 1] = pixels.data[i + 2] = 0;
  }
  to.putImageData(pixels, 0, 0);
  return canvas;
}

/** At 1:1 what is seen comes at native resolution, both halves. */
let partTimer = 0;
function refreshPart() {
  clearTimeout(partTimer);
  partTimer = setTimeout(() => wishPart(current?.id), 250);
}

const wishPart = newestOnly(async (id) => {
  if (!current || current.id !== id || !viewer.pictures.after) return;
  const [width] = current.size;
  const ratio = viewer.canvas.width / viewer.width;
  const preview = viewer.pictures.before;
  if (preview.width >= width || viewer.scale * ratio * width <= preview.width * 1.05) {
    viewer.part = null;
    return;
  }
  const seen = viewer.seen;
  const snap = 128;
  const x = Math.floor(seen.x / snap) * snap;
  const y = Math.floor(seen.y / snap) * snap;
  const w = Math.min(width, Math.ceil((seen.x + seen.w) / snap) * snap) - x;
  const h = Math.min(current.size[1], Math.ceil((seen.y + seen.h) / snap) * snap) - y;
  if (w <= 0 || h <= 0 || w * h > MAX_PART_PX) return;
  const old = viewer.part;
  const same = old && old.tile.x === x && old.tile.y === y && old.tile.w === w && old.tile.h === h;
  const wanted = query({ x, y, w, h });
  if (same && old.after && old.wanted === wanted) return;
  busy("Finding detail…");
  try {
    const place = new URLSearchParams({ x, y, w, h });
    const before = same ? old.before : await askPicture(`/api/photos/${id}/part/before?${place}`);
    if (!same) viewer.part = { tile: { x, y, w, h }, before, after: null, wanted };
    viewer.draw();
    const after = await askPicture(`/api/photos/${id}/part/after?${wanted}`);
    if (current.id !== id || query({ x, y, w, h }) !== wanted) return;
    viewer.part = { tile: { x, y, w, h }, before, after, wanted };
    viewer.draw();
  } catch (error) {
    complain(error);
  } finally {
    busy("");
    at("picture").dataset.part = viewer.part?.after ? wanted : "";
  }
});

function describe() {
  const percent = Math.round(viewer.split * 100);
  const after = viewer.pictures.after ? "restored" : "being restored";
  at("canvas").setAttribute(
    "aria-label",
    current ? `${current.name}: left ${percent} % as it was, right ${after}` : "No photograph yet",
  );
  at("split").setAttribute("aria-valuetext", `${percent} % before, ${100 - percent} % after`);
}

function busy(text) {
  at("busy").textContent = text;
}

// ---- brush, hints, undo -------------------------------------------------------------------

function step(change) {
  change();
  showEdits();
  viewer.strokes = stale() ? viewer.strokes : unsent();
  viewer.draw();
  send();
}

/** Whether an undone or cleared step is still in the marks that were found. */
function stale() {
  return current.edits.marking.length < (current.sent ?? 0);
}

let waiting = null; // the photograph of which the server doesn't know the newest edits
let sendTimer = 0;
let sending = Promise.resolve();
function send() {
  forgetMeasure();
  busy("…");
  waiting = current;
  clearTimeout(sendTimer);
  sendTimer = setTimeout(() => sendNow().catch(complain), 500);
}

/** Send what waits, whichever photograph is open by then; settles when the server knows it. */
function sendNow() {
  clearTimeout(sendTimer);
  const photo = waiting;
  waiting = null;
  if (!photo) return sending;
  const sent = sending.then(() => sendEdits(photo));
  sending = sent.catch(() => {});
  return sent;
}

async function sendEdits(photo) {
  const { length } = photo.edits.marking;
  try {
    photo.revision = (await sendJson("PUT", editsPath(photo), photo.edits.json)).revision;
    photo.sent = length;
  } catch (error) {
    busy("");
    if (current === photo) waiting = photo;
    throw error;
  }
  if (current === photo) refresh(photo.id);
}

function editsPath(photo) {
  return `/api/photos/${photo.id}/edits`;
}

addEventListener("pagehide", () => {
  if (!waiting) return;
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify(waiting.edits.json);
  fetch(editsPath(waiting), { method: "PUT", headers, body, keepalive: true }).catch(() => {});
});

for (const id of ["marks-save", "hints-save"]) {
  at(id).addEventListener("click", async (event) => {
    if (!waiting) return;
    event.preventDefault();
    try {
      await sendNow();
      at(id).click();
    } catch (error) {
      complain(error);
    }
  });
}

function showEdits() {
  const edits = current?.edits;
  at("undo").disabled = !edits?.canUndo;
  at("redo").disabled = !edits?.canRedo;
  at("marks-clear").disabled = !edits?.marking.length;
  viewer.hints = edits?.hints ?? [];
  hints.show(viewer.hints);
  if (current && current.sent === undefined) current.sent = edits.marking.length;
  viewer.draw();
}

viewer.addEventListener("stroke", (event) => step(() => current.edits.add(event.detail)));
viewer.addEventListener("hint", (event) => {
  step(() => (current.edits.hints = [...current.edits.hints, { ...event.detail, color: hints.color }]));
});
hints.addEventListener("change", (event) => step(() => (current.edits.hints = event.detail)));
hints.addEventListener("problem", (event) => complain(new Error(event.detail)));
at("undo").addEventListener("click", () => step(() => current.edits.undo()));
at("redo").addEventListener("click", () => step(() => current.edits.redo()));
at("marks-clear").addEventListener("click", () => step(() => current.edits.add({ kind: "clear" })));

function loader(buttonId, inputId, load) {
  at(buttonId).addEventListener("click", () => at(inputId).click());
  at(inputId).addEventListener("change", async () => {
    const [file] = at(inputId).files;
    at(inputId).value = "";
    if (!file || !current) return;
    try {
      await load(file);
    } catch (error) {
      complain(error);
    }
  });
}
loader("marks-load", "marks-file", async (file) => {
  const { number } = await sendFile(`/api/photos/${current.id}/marks`, "marks", file);
  step(() => current.edits.add({ kind: "base", number }));
});
loader("hints-load", "hints-file", async (file) => {
  const loaded = await sendFile(`/api/photos/${current.id}/hints`, "hints", file);
  step(() => (current.edits.hints = loaded.hints));
});

function chooseTool(tool) {
  const input = document.querySelector(`input[name=tool][value=${tool}]`);
  if (input.disabled) return;
  input.checked = true;
  viewer.tool = tool;
  viewer.keyCursor = null;
  const paints = tool === "add" || tool === "erase";
  viewer.showMarks = paints;
  at("brush-panel").hidden = !paints;
  at("picture").dataset.tool = tool;
  if (tool === "hint") at("hint-panel").scrollIntoView({ block: "nearest" });
  viewer.draw();
}
at("tools").addEventListener("change", (event) => chooseTool(event.target.value));

/** From one pixel to a fifth of the short side, finer at the small end. */
function showBrush() {
  const largest = current ? Math.max(8, Math.min(...current.size) / 5) : 200;
  const position = at("brush-size").value / 100;
  viewer.brushPx = Math.max(1, Math.round(Math.exp(position * Math.log(largest))));
  at("brush-px").textContent = `${viewer.brushPx} px`;
  viewer.draw();
}
at("brush-size").addEventListener("input", showBrush);

// ---- looking ------------------------------------------------------------------------------

at("split").addEventListener("input", () => {
  viewer.split = at("split").value / 100;
  viewer.draw();
  describe();
});
viewer.addEventListener("split", () => {
  at("split").value = Math.round(viewer.split * 100);
  describe();
});
viewer.addEventListener("move", () => {
  at("zoom-level").textContent = `${Math.round(viewer.scale * 100)} %`;
  if (current) refreshPart();
});
at("zoom-in").addEventListener("click", () => viewer.zoom(viewer.scale * 1.5));
at("zoom-out").addEventListener("click", () => viewer.zoom(viewer.scale / 1.5));
at("zoom-fit").addEventListener("click", () => viewer.fit());
at("zoom-one").addEventListener("click", () => viewer.zoom(1));
at("full").addEventListener("click", () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.querySelector(".stage").requestFullscreen?.();
});

listenToKeys(() => current, {
  v: () => chooseTool("look"),
  b: () => chooseTool("add"),
  e: () => chooseTool("erase"),
  c: () => chooseTool("hint"),
  f: () => at("full").click(),
  "+": () => viewer.zoom(viewer.scale * 1.5),
  "=": () => viewer.zoom(viewer.scale * 1.5),
  "-": () => viewer.zoom(viewer.scale / 1.5),
  0: () => viewer.fit(),
  1: () => viewer.zoom(1),
  "[": () => nudgeBrush(-5),
  "]": () => nudgeBrush(5),
  undo: () => at("undo").click(),
  redo: () => at("redo").click(),
});

function nudgeBrush(by) {
  at("brush-size").value = Number(at("brush-size").value) + by;
  showBrush();
}

// ---- what was invented --------------------------------------------------------------------

function forgetMeasure() {
  measured = false;
  at("sentences").replaceChildren();
  viewer.overlays = [];
  for (const box of at("overlays").querySelectorAll("input")) box.checked = false;
  viewer.draw();
}

async function measure() {
  if (!current || measured) return;
  const { id } = current;
  at("measure").disabled = true;
  busy("Measuring…");
  try {
    const found = await askJson(`/api/photos/${id}/report?${query()}`);
    if (current.id !== id) return;
    measured = true;
    at("sentences").replaceChildren(
      ...found.sentences.map((text) => {
        const line = document.createElement("p");
        line.textContent = text;
        return line;
      }),
    );
    at("sentences").scrollIntoView({ block: "nearest" });
  } finally {
    at("measure").disabled = false;
    busy("");
  }
}

const showOverlays = newestOnly(async () => {
  try {
    await measure();
    const kinds = [...at("overlays").querySelectorAll("input:checked")].map((box) => box.value);
    const pictures = [];
    for (const kind of kinds) {
      pictures.push(await askPicture(`/api/photos/${current.id}/overlay/${kind}?${query()}`));
    }
    viewer.overlays = pictures;
    at("overlays").dataset.shown = kinds.join(" ");
    viewer.draw();
  } catch (error) {
    complain(error);
  }
});
at("overlays").addEventListener("change", () => showOverlays());
at("measure").addEventListener("click", () => measure().catch(complain));

// ---- saving -------------------------------------------------------------------------------

async function start(ids, kind, again) {
  const settings = { ...strengths.fields };
  if (kind === "download" && at("format").value) settings.output = at("format").value;
  await sendNow();
  const answer = await sendJson("POST", "/api/jobs", { photos: ids, kind, settings, again });
  await poll();
  return answer.jobs;
}

const saving = new SavePanel();
saving.addEventListener("save", async (event) => {
  try {
    const { kind } = event.detail;
    const [job] = await start([current.id], kind, at("again").checked);
    if (job) saving.follow(job.id);
    else if (kind === "album") saving.say("It is restored already; tick “again, if done” to do it anew.");
    showJob();
  } catch (error) {
    complain(error);
  }
});
saving.addEventListener("cancel", (event) => cancelJob(event.detail));

function showJob() {
  const job = state.jobs.findLast((each) => each.photo === current?.id);
  if (job) saving.show(job);
}

async function cancelJob(id) {
  try {
    await ask(`/api/jobs/${id}`, { method: "DELETE" });
    await poll();
  } catch (error) {
    complain(error);
  }
}

// ---- album --------------------------------------------------------------------------------

album.addEventListener("open", (event) => {
  open(event.detail);
  at("work").scrollIntoView({ block: "start" });
  at("work").focus({ preventScroll: true });
});
album.addEventListener("cancel", async () => {
  await ask("/api/jobs", { method: "DELETE" }).catch(complain);
  await poll();
});
album.addEventListener("cancel-one", (event) => cancelJob(event.detail));
album.addEventListener("remove", async (event) => {
  if (waiting?.id === event.detail) waiting = null;
  try {
    await ask(`/api/photos/${event.detail}`, { method: "DELETE" });
    if (current?.id === event.detail) {
      current = null;
      at("work").hidden = true;
      history.replaceState(null, "", "#");
    }
    await poll();
    if (!current && state.photos.length) open(state.photos[0].id);
  } catch (error) {
    complain(error);
  }
});
album.addEventListener("restore", async (event) => {
  const { ids, again } = event.detail;
  const meant = state.photos.filter((photo) => !ids || ids.includes(photo.id));
  try {
    const inAlbum = meant.filter((photo) => photo.in_album).map((photo) => photo.id);
    const uploads = meant.filter((photo) => !photo.in_album).map((photo) => photo.id);
    if (inAlbum.length) await start(inAlbum, "album", again);
    if (uploads.length) await start(uploads, "download", again);
  } catch (error) {
    complain(error);
  }
});

let pollTimer = 0;
async function poll(rescan = false) {
  clearTimeout(pollTimer);
  let active = false;
  try {
    state = await askJson(`/api/state${rescan ? "?rescan=1" : ""}`);
    active = state.jobs.some((job) => job.state === "queued" || job.state === "running");
    at("about").textContent = `Everything stays on this computer. Model: ${state.model}.`;
    hints.allow(state.no_hints);
    album.show(state, current?.id);
    showJob();
    at("start").hidden = state.photos.length > 0 || allUploads > 0;
    settle("lost");
  } catch (error) {
    complain(error, "lost");
  }
  pollTimer = setTimeout(poll, active ? 700 : 5000);
}

// ---- bringing photographs -----------------------------------------------------------------

async function take(files) {
  const list = [...files];
  allUploads += list.length;
  let first = null;
  for (const [i, file] of list.entries()) {
    at("about").textContent = list.length > 1 ? `Opening ${i + 1} of ${list.length}…` : "Opening…";
    if (file.size > state.max_upload_mb * 1048576) {
      complain(new Error(`${file.name}: more than ${state.max_upload_mb} MB; restore serve --max-upload-mb sets the limit`));
      continue;
    }
    try {
      const photo = await sendFile("/api/photos", "photo", file);
      if (!first) {
        first = photo.id;
        await poll();
        await Promise.race([open(first), new Promise((done) => setTimeout(done, 50))]);
      }
    } catch (error) {
      complain(error);
    }
  }
  allUploads -= list.length;
  await poll();
}
onFiles(take);

// ---- start --------------------------------------------------------------------------------

showBrush();
showEdits();
chooseTool("look");
addEventListener("hashchange", () => {
  const id = location.hash.slice(1);
  if (id && id !== current?.id && state.photos.some((photo) => photo.id === id)) open(id);
});
addEventListener("focus", () => poll(true));
await poll(true);
{
  const id = location.hash.slice(1);
  const photo = state.photos.find((each) => each.id === id) ?? state.photos[0];
  if (photo && !current) open(photo.id).then(showJob);
}
document.documentElement.dataset.ready = "yes";

/** Where the photograph lies on the canvas: for those who automate the page. */
window.view = () => ({ x: viewer.x, y: viewer.y, scale: viewer.scale });
