/**
 * The picture: before and after side by side under a divider, zoomed and moved together.
 *
 * Places are pixels of the upright photograph; the canvas is as large as the screen shows it, so
 * that a photograph of any size fits into a phone's memory.
 */
import { drawStroke } from "./edits.js";

const MAX_SCALE = 32;
const NEAR_PX = 22; // a finger's reach of the divider

export class Viewer extends EventTarget {
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.width = this.height = 0; // of the canvas, CSS px
    this.size = null;
    this.pictures = { before: null, after: null };
    this.part = null;
    this.overlays = [];
    this.found = null;
    this.strokes = [];
    this.hints = [];
    this.showMarks = false;
    this.split = 0.5;
    this.tool = "look";
    this.brushPx = 20;
    this.scale = 1;
    this.x = this.y = 0; // of the photograph's corner, CSS px
    this.fitted = true;
    this.cursor = null; // where the pointer is, in the photograph
    this.keyCursor = null; // where the keyboard's cross is
    this.stroke = null;
    this.pointers = new Map();
    this.layer = document.createElement("canvas");
    this.#listen();
    new ResizeObserver(() => this.#resize()).observe(canvas.parentElement);
  }

  /** Show another photograph of so many pixels, without pictures yet. */
  open(width, height) {
    this.size = { width, height };
    this.pictures = { before: null, after: null };
    this.part = this.found = null;
    this.overlays = [];
    this.strokes = this.hints = [];
    this.stroke = this.keyCursor = null;
    this.pointers.clear();
    this.fit();
  }

  fit() {
    const { width: w, height: h } = this;
    if (!this.size || !w) return;
    this.scale = Math.min(w / this.size.width, h / this.size.height, MAX_SCALE);
    this.x = (w - this.size.width * this.scale) / 2;
    this.y = (h - this.size.height * this.scale) / 2;
    this.fitted = true;
    this.#moved();
  }

  /** Zoom to so many CSS pixels per pixel of the photograph, about a place of the canvas. */
  zoom(scale, at = { x: this.width / 2, y: this.height / 2 }) {
    if (!this.size) return;
    scale = Math.min(MAX_SCALE, Math.max(Math.min(this.fitScale, 1) / 2, scale));
    this.x = at.x - ((at.x - this.x) * scale) / this.scale;
    this.y = at.y - ((at.y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.#moved();
  }

  get fitScale() {
    const { width: w, height: h } = this;
    return Math.min(w / this.size.width, h / this.size.height);
  }

  move(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.#moved();
  }

  /** The part of the photograph that is seen: {x, y, w, h} in its pixels. */
  get seen() {
    const { width: w, height: h } = this;
    const x0 = Math.max(0, -this.x / this.scale);
    const y0 = Math.max(0, -this.y / this.scale);
    const x1 = Math.min(this.size.width, (w - this.x) / this.scale);
    const y1 = Math.min(this.size.height, (h - this.y) / this.scale);
    return { x: x0, y: y0, w: Math.max(0, x1 - x0), h: Math.max(0, y1 - y0) };
  }

  /** The photograph's place under a place of the canvas. */
  toPhoto(x, y) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.#draw();
    });
  }

  #resize() {
    // The canvas covers whole pixels of the screen; else the browser would blur it.
    const dpr = window.devicePixelRatio || 1;
    const box = this.canvas.parentElement.getBoundingClientRect();
    const [left, top] = [box.left + scrollX, box.top + scrollY];
    const inset = { x: Math.ceil(left * dpr) / dpr - left, y: Math.ceil(top * dpr) / dpr - top };
    for (const canvas of [this.canvas, this.layer]) {
      canvas.width = Math.max(1, Math.floor((box.width - inset.x) * dpr + 0.01));
      canvas.height = Math.max(1, Math.floor((box.height - inset.y) * dpr + 0.01));
    }
    this.width = box.width ? this.canvas.width / dpr : 0;
    this.height = this.canvas.height / dpr;
    Object.assign(this.canvas.style, {
      left: `${inset.x}px`,
      top: `${inset.y}px`,
      width: `${this.width}px`,
      height: `${this.height}px`,
    });
    if (this.fitted) this.fit();
    this.draw();
  }

  #moved() {
    // Part of it always stays in sight.
    const { width: w, height: h } = this;
    const [pw, ph] = [this.size.width * this.scale, this.size.height * this.scale];
    const keep = 40;
    this.x = Math.min(w - keep, Math.max(keep - pw, this.x));
    this.y = Math.min(h - keep, Math.max(keep - ph, this.y));
    const ratio = this.canvas.width / w;
    if (Number.isInteger(this.scale * ratio)) {
      // At 1:1 and its multiples the photograph's pixels are whole ones of the screen.
      this.x = Math.round(this.x * ratio) / ratio;
      this.y = Math.round(this.y * ratio) / ratio;
    }
    this.draw();
    this.dispatchEvent(new Event("move"));
  }

  #units(to) {
    const dprX = this.canvas.width / this.width;
    const dprY = this.canvas.height / this.height;
    to.setTransform(
      dprX * this.scale, 0, 0, dprY * this.scale, dprX * this.x, dprY * this.y,
    );
    return { dprX, dprY };
  }

  #draw() {
    const to = this.canvas.getContext("2d");
    to.setTransform(1, 0, 0, 1, 0, 0);
    to.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.size || !this.width) return;
    const { dprX, dprY } = this.#units(to);
    const edge = this.toPhoto(this.split * this.width, 0).x;
    this.#drawHalf(to, "before", -1e6, edge);
    this.#drawHalf(to, this.pictures.after ? "after" : "before", edge, 1e6);
    if (this.showMarks || this.stroke) this.#drawMarks(to);
    to.setTransform(dprX, 0, 0, dprY, 0, 0);
    this.#drawDivider(to);
    this.#drawHints(to);
    this.#drawCursor(to);
  }

  #drawHalf(to, which, from, until) {
    const picture = this.pictures[which];
    if (!picture) return;
    const { width, height } = this.size;
    to.save();
    to.beginPath();
    to.rect(from, -1e6, until - from, 2e6);
    to.clip();
    const ratio = this.canvas.width / this.width;
    to.imageSmoothingEnabled = (this.scale * ratio * width) / picture.width < 3;
    to.imageSmoothingQuality = "high";
    to.drawImage(picture, 0, 0, width, height);
    if (this.part?.[which]) {
      to.imageSmoothingEnabled = this.scale * ratio < 2;
      const { x, y, w, h } = this.part.tile;
      to.drawImage(this.part[which], x, y, w, h);
    }
    if (which === "after") {
      to.imageSmoothingEnabled = true;
      for (const overlay of this.overlays) to.drawImage(overlay, 0, 0, width, height);
    }
    to.restore();
  }

  /** What was found, and what the user painted, in red. */
  #drawMarks(to) {
    const layer = this.layer.getContext("2d");
    layer.setTransform(1, 0, 0, 1, 0, 0);
    layer.globalCompositeOperation = "source-over";
    layer.clearRect(0, 0, this.layer.width, this.layer.height);
    const { dprX } = this.#units(layer);
    if (this.found) {
      layer.imageSmoothingEnabled = this.scale * dprX < 2;
      layer.drawImage(this.found, 0, 0, this.size.width, this.size.height);
    }
    const least = 1 / (this.scale * dprX);
    const strokes = this.stroke ? [...this.strokes, this.stroke] : this.strokes;
    for (const stroke of strokes) drawStroke(layer, stroke, least);
    to.save();
    to.setTransform(1, 0, 0, 1, 0, 0);
    to.globalAlpha = 0.55;
    to.drawImage(this.layer, 0, 0);
    to.restore();
  }

  #drawDivider(to) {
    const { width: w, height: h } = this;
    const x = this.split * w;
    to.fillStyle = "rgb(0 0 0 / .5)";
    to.fillRect(x - 2, 0, 4, h);
    to.fillStyle = "#fff";
    to.fillRect(x - 1, 0, 2, h);
    if (this.tool !== "look") return;
    to.beginPath();
    to.arc(x, h / 2, 15, 0, 7);
    to.fill();
    to.fillStyle = "#24272b";
    for (const side of [-1, 1]) {
      to.beginPath();
      to.moveTo(x + side * 10, h / 2);
      to.lineTo(x + side * 4, h / 2 - 5);
      to.lineTo(x + side * 4, h / 2 + 5);
      to.fill();
    }
  }

  #drawHints(to) {
    this.hints.forEach((hint, i) => {
      const x = this.x + hint.x_px * this.scale;
      const y = this.y + hint.y_px * this.scale;
      to.beginPath();
      to.arc(x, y, 11, 0, 7);
      to.fillStyle = hint.color;
      to.fill();
      to.lineWidth = 4;
      to.strokeStyle = "#000";
      to.stroke();
      to.lineWidth = 2;
      to.strokeStyle = "#fff";
      to.stroke();
      to.font = "bold 12px system-ui, sans-serif";
      to.textAlign = "center";
      to.textBaseline = "middle";
      to.lineWidth = 3;
      to.strokeStyle = "#000";
      to.strokeText(String(i + 1), x, y);
      to.fillStyle = "#fff";
      to.fillText(String(i + 1), x, y);
    });
  }

  #drawCursor(to) {
    const paints = this.tool === "add" || this.tool === "erase";
    const at = this.keyCursor ?? (paints ? this.cursor : null);
    if (!at || this.tool === "look") return;
    const x = this.x + at.x * this.scale;
    const y = this.y + at.y * this.scale;
    const radius = paints ? Math.max(2, (this.brushPx * this.scale) / 2) : 6;
    for (const [width, color] of [[3.5, "#000"], [1.5, this.tool === "erase" ? "#8fd0ff" : "#fff"]]) {
      to.lineWidth = width;
      to.strokeStyle = color;
      to.beginPath();
      to.arc(x, y, radius, 0, 7);
      if (this.keyCursor || radius < 6) {
        for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
          to.moveTo(x + dx * (radius + 3), y + dy * (radius + 3));
          to.lineTo(x + dx * (radius + 11), y + dy * (radius + 11));
        }
      }
      to.stroke();
    }
  }

  #listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#pointerMove(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.#up(event));
    }
    canvas.addEventListener("pointerleave", () => {
      this.cursor = null;
      this.draw();
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const pixels = event.deltaY * (event.deltaMode === 1 ? 30 : 1);
        const turn = Math.exp(-Math.max(-240, Math.min(240, pixels)) / 300);
        this.zoom(this.scale * turn, this.#at(event));
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    // The canvas may be drawn larger or smaller than it was laid out.
    const ratio = this.width / box.width || 1;
    return { x: (event.clientX - box.left) * ratio, y: (event.clientY - box.top) * ratio };
  }

  #down(event) {
    if (!this.size) return;
    this.canvas.focus({ preventScroll: true });
    try {
      this.canvas.setPointerCapture(event.pointerId);
    } catch {
      /* a pointer that a script made up */
    }
    const at = this.#at(event);
    this.pointers.set(event.pointerId, at);
    this.keyCursor = null;
    if (this.pointers.size > 1) {
      this.stroke = null; // the second finger moves the picture; what the first drew goes
      this.gesture = "pinch";
      this.draw();
      return;
    }
    if (event.button === 1 || event.button === 2) this.gesture = "pan";
    else if (this.tool === "look") {
      const near = Math.abs(at.x - this.split * this.width) < NEAR_PX;
      this.gesture = near ? "split" : "pan";
    } else if (this.tool === "hint") this.gesture = "hint";
    else {
      this.gesture = "stroke";
      const place = this.toPhoto(at.x, at.y);
      this.stroke = { kind: "stroke", mode: this.tool, size_px: this.brushPx, points: [[place.x, place.y]] };
      this.draw();
    }
  }

  #pointerMove(event) {
    if (!this.size) return;
    const at = this.#at(event);
    this.cursor = this.toPhoto(at.x, at.y);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      if (this.tool !== "look") this.draw();
      return;
    }
    if (this.gesture === "pinch") this.#pinch(event.pointerId, at);
    this.pointers.set(event.pointerId, at);
    if (this.gesture === "pan") this.move(at.x - before.x, at.y - before.y);
    else if (this.gesture === "split") {
      this.split = Math.min(1, Math.max(0, at.x / this.width));
      this.dispatchEvent(new Event("split"));
      this.draw();
    } else if (this.gesture === "stroke" && this.stroke) {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) {
        const where = this.#at(each);
        const place = this.toPhoto(where.x, where.y);
        this.stroke.points.push([place.x, place.y]);
      }
      this.draw();
    }
  }

  #pinch(id, at) {
    const [other] = [...this.pointers].filter(([key]) => key !== id).map(([, value]) => value);
    const before = this.pointers.get(id);
    if (!other) return;
    const distance = (a, b) => Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
    const middle = { x: (before.x + other.x) / 2, y: (before.y + other.y) / 2 };
    this.zoom((this.scale * distance(at, other)) / distance(before, other), middle);
    this.move((at.x - before.x) / 2, (at.y - before.y) / 2);
  }

  #up(event) {
    const known = this.pointers.delete(event.pointerId);
    if (!known || !this.size) return;
    if (this.gesture === "stroke" && this.stroke) {
      const stroke = this.stroke;
      this.stroke = null;
      if (event.type === "pointerup") this.#finish(stroke);
      this.draw();
    } else if (this.gesture === "hint" && event.type === "pointerup") {
      this.#place(this.toPhoto(this.#at(event).x, this.#at(event).y));
    }
    if (this.pointers.size === 0) this.gesture = null;
  }

  #finish(stroke) {
    const { width, height } = this.size;
    const reach = stroke.size_px / 2 + 1;
    const inside = ([x, y]) => x > -reach && y > -reach && x < width + reach && y < height + reach;
    if (!stroke.points.some(inside)) return;
    stroke.points = stroke.points
      .map(([x, y]) => [Math.round(x * 100) / 100, Math.round(y * 100) / 100])
      .filter((p, i, all) => i === 0 || p[0] !== all[i - 1][0] || p[1] !== all[i - 1][1]);
    this.dispatchEvent(new CustomEvent("stroke", { detail: stroke }));
  }

  #place({ x, y }) {
    if (x < 0 || y < 0 || x >= this.size.width || y >= this.size.height) return;
    const detail = { x_px: Math.round(x * 100) / 100, y_px: Math.round(y * 100) / 100 };
    this.dispatchEvent(new CustomEvent("hint", { detail }));
  }

  #key(event) {
    if (!this.size || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (step && this.tool === "look") {
      this.move(-40 * step[0], -40 * step[1]);
    } else if (step) {
      const seen = this.seen;
      this.keyCursor ??= { x: Math.floor(seen.x + seen.w / 2) + 0.5, y: Math.floor(seen.y + seen.h / 2) + 0.5 };
      const px = event.shiftKey ? 1 : Math.max(1, Math.round(12 / this.scale));
      const clamp = (value, limit) => Math.min(limit - 0.5, Math.max(0.5, value));
      this.keyCursor = {
        x: clamp(this.keyCursor.x + px * step[0], this.size.width),
        y: clamp(this.keyCursor.y + px * step[1], this.size.height),
      };
      this.draw();
    } else if ((event.key === " " || event.key === "Enter") && this.keyCursor) {
      const { x, y } = this.keyCursor;
      if (this.tool === "hint") this.#place({ x, y });
      else this.#finish({ kind: "stroke", mode: this.tool, size_px: this.brushPx, points: [[x, y]] });
    } else if (event.key === "Escape") {
      this.stroke = this.keyCursor = null;
      this.draw();
    } else return;
    event.preventDefault();
  }
}
