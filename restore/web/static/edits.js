/** What the user painted and hinted: a history of steps, as the server keeps it. */

export class Edits {
  constructor(kept = { steps: [], undone: [] }) {
    this.steps = [...kept.steps];
    this.undone = [...kept.undone];
  }

  add(step) {
    this.steps.push(step);
    this.undone = [];
  }

  undo() {
    if (this.steps.length) this.undone.push(this.steps.pop());
  }

  redo() {
    if (this.undone.length) this.steps.push(this.undone.pop());
  }

  get canUndo() {
    return this.steps.length > 0;
  }

  get canRedo() {
    return this.undone.length > 0;
  }

  /** The hints that count: {x_px, y_px, color}. */
  get hints() {
    const lists = this.steps.filter((step) => step.kind === "hints");
    return lists.length ? lists[lists.length - 1].hints : [];
  }

  set hints(hints) {
    this.add({ kind: "hints", hints });
  }

  /** The steps that the marks consist of. */
  get marking() {
    let kept = [];
    for (const step of this.steps) {
      if (step.kind === "clear") kept = [];
      else if (step.kind === "base") kept = [step];
      else if (step.kind === "stroke") kept.push(step);
    }
    return kept;
  }

  get json() {
    return { steps: this.steps, undone: this.undone };
  }
}

/** Where the pen of a stroke lies in the photograph: as the server draws it. */
export function penCentre(value, size) {
  return Math.floor(value) + (Math.round(size) % 2 ? 0.5 : 0);
}

/**
 * Draw a stroke on a canvas whose units are pixels of the photograph.
 * @param {CanvasRenderingContext2D} to
 * @param least Width that is still seen, in pixels of the photograph.
 */
export function drawStroke(to, stroke, least) {
  const erases = stroke.mode === "erase";
  const width = Math.max(stroke.size_px, least);
  to.globalCompositeOperation = erases ? "destination-out" : "source-over";
  to.lineWidth = width;
  to.lineCap = to.lineJoin = stroke.size_px <= 1 && least <= 1 ? "butt" : "round";
  to.strokeStyle = to.fillStyle = "#f00";
  const points = stroke.points.map(([x, y]) => [
    penCentre(x, stroke.size_px),
    penCentre(y, stroke.size_px),
  ]);
  if (stroke.size_px <= 1 && least <= 1) {
    for (const [x, y] of linePixels(points)) to.fillRect(x - 0.5, y - 0.5, 1, 1);
    return;
  }
  to.beginPath();
  to.moveTo(...points[0]);
  for (const point of points) to.lineTo(...point);
  if (points.length === 1) to.lineTo(points[0][0] + 0.001, points[0][1]);
  to.stroke();
}

/** The pixels of a line of one pixel's width, by their centres. */
function* linePixels(points) {
  yield points[0];
  for (let i = 1; i < points.length; i++) {
    const [x0, y0] = points[i - 1];
    const [x1, y1] = points[i];
    const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0));
    for (let k = 1; k <= steps; k++) {
      yield [
        Math.floor(x0 + ((x1 - x0) * k) / steps) + 0.5,
        Math.floor(y0 + ((y1 - y0) * k) / steps) + 0.5,
      ];
    }
  }
}
