// A plane of points on a canvas: drawing, zooming, moving, and which point is meant.
"use strict";

class Scatter {
  // x and y between -1 and 1; looks(point) returns its colour, or null for a hidden one, and whether it stands out.
  // pointAt(point, kept) is called with the place of a point, or -1.
  constructor(canvas, x, y, looks, pointAt) {
    Object.assign(this, { canvas, x, y, looks, pointAt, ring: -1, waiting: false, fingers: new Map(), moved: false });
    this.scale = 0; // pixels per unit; 0: the whole map, whatever the size
    this.middle = [0, 0];
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.listen();
  }

  get whole() {
    return Math.min(this.canvas.clientWidth, this.canvas.clientHeight) / 2.1;
  }

  get unit() {
    return this.scale || this.whole;
  }

  // Where a point is, in pixels from the upper left corner.
  place(point) {
    const { clientWidth, clientHeight } = this.canvas;
    return [
      clientWidth / 2 + (this.x[point] - this.middle[0]) * this.unit,
      clientHeight / 2 - (this.y[point] - this.middle[1]) * this.unit,
    ];
  }

  showAll() {
    this.scale = 0;
    this.middle = [0, 0];
    this.draw();
  }

  move(right, down) {
    const limit = (value) => Math.max(-1.2, Math.min(1.2, value));
    this.middle = [limit(this.middle[0] - right / this.unit), limit(this.middle[1] + down / this.unit)];
    this.draw();
  }

  // Zoom so that what is at a pixel stays there.
  zoom(factor, left = this.canvas.clientWidth / 2, top = this.canvas.clientHeight / 2) {
    const next = Math.max(0.5 * this.whole, Math.min(300 * this.whole, this.unit * factor));
    const right = left - this.canvas.clientWidth / 2;
    const down = top - this.canvas.clientHeight / 2;
    const shift = 1 / this.unit - 1 / next;
    this.scale = next;
    this.middle = [this.middle[0] + right * shift, this.middle[1] - down * shift];
    this.draw();
  }

  // Move as little as needed for a point to be well inside.
  reveal(point) {
    const [left, top] = this.place(point);
    const { clientWidth, clientHeight } = this.canvas;
    const into = (value, size) => Math.max(0.1 * size, Math.min(0.9 * size, value)) - value;
    this.move(into(left, clientWidth), into(top, clientHeight));
  }

  // The point nearest to a pixel that is shown and not farther than reach; those that stand out come first.
  nearest(left, top, reach) {
    let found = -1;
    let best = reach * reach;
    let standsOut = false;
    for (let point = 0; point < this.x.length; point++) {
      const [pointLeft, pointTop] = this.place(point);
      const distance = (pointLeft - left) ** 2 + (pointTop - top) ** 2;
      if (distance > reach * reach) continue;
      const look = this.looks(point);
      if (look.colour === null || (standsOut && !look.strong)) continue;
      if (distance <= best || (look.strong && !standsOut)) {
        [found, best, standsOut] = [point, distance, look.strong];
      }
    }
    return found;
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.paint();
    });
  }

  paint() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const radius = Math.min(9, (this.x.length > 2000 ? 2.5 : 3.5) * (this.unit / this.whole) ** 0.35);
    const groups = new Map(); // colour and strength -> points, so that each is one path
    for (let point = 0; point < this.x.length; point++) {
      const [left, top] = this.place(point);
      if (left < -10 || top < -10 || left > width + 10 || top > height + 10) continue;
      const { colour, strong, faint } = this.looks(point);
      if (colour === null) continue;
      const key = `${strong ? 2 : faint ? 0 : 1}${colour}`;
      if (!groups.has(key)) groups.set(key, { colour, strong, faint, points: [] });
      groups.get(key).points.push([left, top]);
    }
    for (const [, group] of [...groups].sort(([one], [two]) => (one[0] < two[0] ? -1 : one[0] > two[0] ? 1 : 0))) {
      pen.globalAlpha = group.faint ? 0.15 : 0.85;
      pen.fillStyle = group.colour;
      pen.beginPath();
      for (const [left, top] of group.points) {
        const size = group.strong ? 1.6 * radius : radius;
        pen.moveTo(left + size, top);
        pen.arc(left, top, size, 0, 2 * Math.PI);
      }
      pen.fill();
    }
    if (this.ring >= 0) {
      pen.globalAlpha = 1;
      pen.lineWidth = 2.5;
      pen.strokeStyle = getComputedStyle(canvas).getPropertyValue("--ring");
      pen.beginPath();
      pen.arc(...this.place(this.ring), 1.6 * radius + 4, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  listen() {
    const { canvas, fingers } = this;
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const step = event.deltaMode === 1 ? 30 : 1; // lines, not pixels
        this.zoom(Math.exp(-0.0015 * step * event.deltaY), event.offsetX, event.offsetY);
      },
      { passive: false },
    );
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      if (!fingers.size) this.moved = false;
      fingers.set(event.pointerId, { left: event.offsetX, top: event.offsetY, startLeft: event.offsetX, startTop: event.offsetY });
    });
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => {
        const known = fingers.delete(event.pointerId);
        if (known && name === "pointerup" && !this.moved && !fingers.size) {
          this.pointAt(this.nearest(event.offsetX, event.offsetY, event.pointerType === "mouse" ? 12 : 24), true);
        }
      });
    }
    canvas.addEventListener("pointerleave", () => {
      if (!fingers.size) this.pointAt(-1, false);
    });
    canvas.addEventListener("keydown", (event) => {
      const arrows = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key in arrows) this.move(...arrows[event.key]);
      else if (event.key === "+" || event.key === "=") this.zoom(1.4);
      else if (event.key === "-") this.zoom(1 / 1.4);
      else if (event.key === "0") this.showAll();
      else return;
      event.preventDefault();
    });
  }

  onMove(event) {
    const finger = this.fingers.get(event.pointerId);
    if (!finger) {
      const point = this.nearest(event.offsetX, event.offsetY, 12);
      this.canvas.style.cursor = point < 0 ? "" : "pointer";
      this.pointAt(point, false);
      return;
    }
    if (Math.hypot(event.offsetX - finger.startLeft, event.offsetY - finger.startTop) > 4) this.moved = true;
    if (!this.moved) return;
    const before = this.pinch();
    const [right, down] = [event.offsetX - finger.left, event.offsetY - finger.top];
    Object.assign(finger, { left: event.offsetX, top: event.offsetY });
    const after = this.pinch();
    this.move(right / this.fingers.size, down / this.fingers.size);
    if (before && after) this.zoom(after.width / Math.max(1, before.width), after.left, after.top);
  }

  // The middle of two fingers and how far they are apart; null without two.
  pinch() {
    if (this.fingers.size !== 2) return null;
    const [one, two] = [...this.fingers.values()];
    return {
      left: (one.left + two.left) / 2,
      top: (one.top + two.top) / 2,
      width: Math.hypot(one.left - two.left, one.top - two.top),
    };
  }
}
