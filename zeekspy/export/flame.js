"use strict";
// A flame graph on a canvas. Only what is at least half a pixel wide is visited, so that its size does not matter.

const $ = id => document.getElementById(id);
const ROW = 18, NARROWEST = 0.5, CHAR = 7.25;
const TALLEST = 32000; // pixels that browsers give a canvas
const KINDS = {
  event: [24, 85, 62], hook: [48, 80, 60], function: [4, 75, 66], bif: [205, 60, 64],
  core: [215, 12, 72], idle: [90, 15, 82], other: [300, 25, 68],
};

function hash(text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619) >>> 0;
  h = Math.imul(h ^ h >>> 16, 73244475) >>> 0;
  return (h ^ h >>> 15) >>> 0;
}

function hsl(h, s, l) { return `hsl(${h},${s}%,${l}%)`; }

function percent(part, whole) { return whole ? (100 * part / whole).toFixed(2) + " %" : "-"; }

function amount(value, unit) {
  if (unit !== "ns") return value.toLocaleString("en") + (Math.abs(value) === 1 ? " sample" : " samples");
  const size = Math.abs(value);
  return size >= 1e9 ? (value / 1e9).toFixed(3) + " s" : size >= 1e6 ? (value / 1e6).toFixed(2) + " ms" : (value / 1e3).toFixed(1) + " us";
}

// Nodes come in the order of drawing with their depths; this finds where every subtree ends, and all parents.
class Tree {
  constructor(frames, depth, frame) {
    const n = depth.length;
    this.frames = frames;
    this.depth = Uint16Array.from(depth);
    this.frame = Uint32Array.from(frame);
    this.end = new Uint32Array(n);
    this.parent = new Int32Array(n);
    const path = [];
    for (let i = 0; i < n; i++) {
      while (path.length > depth[i]) this.end[path.pop()] = i;
      this.parent[i] = path.length ? path[path.length - 1] : -1;
      path.push(i);
    }
    while (path.length) this.end[path.pop()] = n;
  }

  get length() { return this.depth.length; }

  // What is in every node and below it.
  totals(own) {
    const totals = Float64Array.from(own);
    for (let i = totals.length - 1; i >= 0; i--) if (this.parent[i] >= 0) totals[this.parent[i]] += totals[i];
    return totals;
  }
}

class Flame {
  // options: colour(frame number, node) -> css, text(node) -> string for the tip, changed() after every zoom or move.
  constructor(canvas, tip, options) {
    this.canvas = canvas;
    this.tip = tip;
    this.options = options;
    this.zoomed = -1;
    this.picked = -1;
    this.matches = null;
    this.icicle = true;
    this.boxes = [];
    canvas.addEventListener("mousemove", e => this.hover(e));
    canvas.addEventListener("mouseleave", () => { tip.style.display = "none"; });
    canvas.addEventListener("click", e => { const node = this.at(e); if (node !== null) this.zoom(node); canvas.focus(); });
    addEventListener("resize", () => this.draw());
  }

  // totals of the nodes, and which of them (by frame) are left out with all that is below.
  show(tree, totals, hidden) {
    this.tree = tree;
    this.totals = totals;
    this.hidden = hidden;
    this.whole = 0;
    for (let i = 0; i < tree.length; i = tree.end[i]) if (!hidden(tree.frame[i])) this.whole += totals[i];
    if (this.zoomed >= tree.length || this.zoomed >= 0 && !(totals[this.zoomed] > 0)) this.zoomed = -1;
    this.draw();
  }

  base() { return this.zoomed < 0 ? this.whole : this.totals[this.zoomed]; }

  zoom(node) {
    this.zoomed = node === this.zoomed ? this.tree.parent[node] ?? -1 : node;
    this.picked = this.zoomed;
    this.draw();
    this.options.changed();
  }

  out() { if (this.zoomed >= 0) { this.zoomed = this.tree.parent[this.zoomed]; this.draw(); this.options.changed(); } }

  search(test) {
    this.matches = test === null ? null : this.tree.frames.map(test);
    this.draw();
  }

  // How much of the picture is in frames that match or below them, each sample counted once.
  matched() {
    if (this.matches === null) return null;
    let sum = 0;
    const first = Math.max(this.zoomed, 0), last = this.zoomed < 0 ? this.tree.length : this.tree.end[this.zoomed];
    for (let i = first; i < last;) {
      if (this.tree.parent[i] < 0 && this.hidden(this.tree.frame[i])) i = this.tree.end[i];
      else if (this.matches[this.tree.frame[i]]) { sum += this.totals[i]; i = this.tree.end[i]; }
      else i++;
    }
    return sum;
  }

  // Boxes [node, x, width, row] of what can be seen.
  layout(width) {
    const { tree, totals } = this, boxes = [], above = [];
    for (let i = this.zoomed; i >= 0; i = tree.parent[i]) above.unshift(i);
    above.forEach((node, row) => boxes.push([node, 0, width, row + 1]));
    const whole = this.base();
    if (!(whole > 0)) return boxes;
    const first = this.zoomed < 0 ? 0 : this.zoomed + 1, last = this.zoomed < 0 ? tree.length : tree.end[this.zoomed];
    const top = this.zoomed < 0 ? 0 : tree.depth[this.zoomed] + 1;
    const left = [0];
    for (let i = first; i < last;) {
      const level = tree.depth[i] - top;
      if (level === 0 && this.zoomed < 0 && this.hidden(tree.frame[i])) { i = tree.end[i]; continue; }
      const x = left[level], w = totals[i] / whole * width;
      left[level] = x + w;
      if (w < NARROWEST) { i = tree.end[i]; continue; }
      left[level + 1] = x;
      boxes.push([i, x, w, tree.depth[i] + 1]);
      i++;
    }
    return boxes;
  }

  draw() {
    if (!this.tree) return;
    this.tip.style.display = "none";
    const canvas = this.canvas, width = canvas.clientWidth || 800;
    this.boxes = this.layout(width);
    this.rows = this.boxes.reduce((rows, b) => Math.max(rows, b[3]), 0) + 1;
    const height = this.rows * ROW, scale = Math.min(window.devicePixelRatio || 1, TALLEST / height);
    canvas.style.height = height + "px";
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const g = canvas.getContext("2d");
    g.scale(scale, scale);
    g.font = "12px ui-monospace, Menlo, Consolas, monospace";
    g.textBaseline = "middle";
    const style = getComputedStyle(document.documentElement), mark = style.getPropertyValue("--mark");
    const y = row => (this.icicle ? row : this.rows - 1 - row) * ROW;
    g.fillStyle = hsl(0, 0, 80);
    g.fillRect(0, y(0), width, ROW - 1);
    this.write(g, this.options.root(), 0, y(0), width);
    for (const [node, x, w, row] of this.boxes) {
      const number = this.tree.frame[node], name = this.tree.frames[number].name;
      g.globalAlpha = this.zoomed >= 0 && this.tree.depth[node] < this.tree.depth[this.zoomed] ? 0.5 : 1;
      g.fillStyle = this.matches && this.matches[number] ? mark : this.options.colour(number, node);
      g.fillRect(x, y(row), Math.max(w - 0.4, 0.5), ROW - 1);
      g.globalAlpha = 1;
      if (w > 3 * CHAR) this.write(g, name, x, y(row), w);
      if (node === this.picked) { g.strokeStyle = style.getPropertyValue("--text"); g.strokeRect(x + 0.5, y(row) + 0.5, Math.max(w - 1.4, 1), ROW - 2); }
    }
  }

  write(g, text, x, y, w) {
    const room = Math.floor((w - 5) / CHAR);
    if (room < 3) return;
    g.fillStyle = "#1b1b1b";
    g.fillText(text.length <= room ? text : text.slice(0, room - 1) + "\u2026", x + 3, y + ROW / 2);
  }

  // The node under the pointer; -1 for the whole, null for none.
  at(e) {
    const box = this.canvas.getBoundingClientRect(), x = e.clientX - box.left;
    const level = Math.floor((e.clientY - box.top) / ROW), row = this.icicle ? level : this.rows - 1 - level;
    if (row === 0) return -1;
    const found = this.boxes.find(b => b[3] === row && x >= b[1] && x < b[1] + b[2]);
    return found ? found[0] : null;
  }

  hover(e) {
    const node = this.at(e);
    this.tip.style.display = node === null ? "none" : "block";
    if (node === null) return;
    this.tip.textContent = this.options.text(node);
    const { offsetWidth: w, offsetHeight: h } = this.tip;
    this.tip.style.left = Math.max(0, Math.min(e.clientX + 14, innerWidth - w - 6)) + "px";
    this.tip.style.top = (e.clientY + 18 + h < innerHeight ? e.clientY + 18 : Math.max(0, e.clientY - h - 10)) + "px";
  }

  // Moves the picked box: to the caller, the first callee, or the neighbour on the same row.
  move(key) {
    const at = this.boxes.findIndex(b => b[0] === this.picked);
    const [, x, , row] = at < 0 ? [0, 0, 0, 0] : this.boxes[at];
    const inward = this.icicle ? "ArrowDown" : "ArrowUp", outward = this.icicle ? "ArrowUp" : "ArrowDown";
    let next = null;
    if (key === inward) next = this.boxes.find(b => b[3] === row + 1 && b[1] >= x - 0.01 && (at < 0 || this.tree.parent[b[0]] === this.picked));
    else if (key === outward) next = this.boxes.find(b => at >= 0 && b[0] === this.tree.parent[this.picked]);
    else {
      const level = this.boxes.filter(b => b[3] === Math.max(row, 1)), here = level.findIndex(b => b[0] === this.picked);
      next = level[here + (key === "ArrowRight" ? 1 : -1)];
    }
    if (next) { this.picked = next[0]; this.draw(); this.options.changed(); }
  }
}

// Text is searched as it is, /between slashes/ as a regular expression; null where there is nothing to search for.
function tester(text) {
  if (!text) return null;
  const pattern = /^\/(.+)\/$/.exec(text);
  if (pattern) {
    try {
      const expression = new RegExp(pattern[1], "i");
      return f => expression.test(f.name) || expression.test(f.place);
    } catch { return () => false; }
  }
  const small = text.toLowerCase();
  return f => f.name.toLowerCase().includes(small) || f.place.toLowerCase().includes(small);
}

function theme(choice) {
  const dark = choice ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = dark;
  return dark;
}

// What a page keeps behind the # of its address, so that a view can be sent to somebody.
function readAddress() { return Object.fromEntries(new URLSearchParams(location.hash.slice(1))); }

function writeAddress(state) {
  const kept = new URLSearchParams(Object.entries(state).filter(([, v]) => v !== "" && v !== null && v !== undefined));
  history.replaceState(null, "", kept.size ? "#" + kept : location.pathname + location.search);
}

function element(tag, text, more) { return Object.assign(document.createElement(tag), { textContent: text }, more); }

function legend(target, entries) {
  target.replaceChildren(...entries.map(([name, colour]) => {
    const entry = element("span", ""), box = element("i", "");
    box.style.background = colour;
    entry.append(box, name);
    return entry;
  }));
}

// The frames of the page's data, made of its columns.
function framesOf(data) {
  return data.frames.map(([name, kind, place, directory, calls, perCall, lines]) => ({
    name, kind, place, directory, calls, perCall, lines,
    hue: hash(directory) % 360, shift: hash(name),
  }));
}

function frameColour(f, by) {
  if (by === "directory" && f.directory) return hsl(f.hue, 55, 64 + f.shift % 9);
  const [h, s, l] = KINDS[f.kind] ?? KINDS.other;
  return hsl(h + f.shift % 13 - 6, s, l + (f.shift >> 8) % 9 - 4);
}

// What there is to say of a frame, whatever its node: place, calls, the lines that cost most.
function about(f) {
  const parts = [];
  if (f.place) parts.push(f.place);
  if (f.calls !== null) parts.push(`${f.calls.toLocaleString("en")} calls` + (f.perCall === null ? "" : `, ${f.perCall.toFixed(2)} us per call`));
  if (f.lines.length) parts.push("lines: " + f.lines.map(([line, share]) => `${line} (${percent(share, 1)})`).join(", "));
  return parts.join("\n");
}

// What all pages with a flame graph have: their words, and the keys. own(e) does what a key means to one of them alone,
// and says whether it means something.
function setUp(data, flame, toggle, refresh, search, own = () => false) {
  addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const typing = document.activeElement === $("search");
    if (e.key === "Escape" && typing) { if ($("search").value) { $("search").value = ""; search(); } else $("graph").focus(); return; }
    if (e.key === "Enter" && typing) { $("graph").focus(); return; }
    if (typing) return;
    if (e.key === "/") { $("search").focus(); $("search").select(); }
    else if (!own(e)) {
      if (e.key.startsWith("Arrow")) flame.move(e.key);
      else if (e.key === "Enter" && document.activeElement.tagName !== "BUTTON") { if (flame.picked >= 0) flame.zoom(flame.picked); }
      else if (e.key === "Escape") flame.out();
      else if (Object.hasOwn(toggle, e.key)) { toggle[e.key](); refresh(); }
      else return;
    }
    e.preventDefault();
  });
  $("search").addEventListener("input", search);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  $("title").textContent = data.title;
  $("headline").textContent = data.headline;
  $("said").textContent = data.said;
  $("said").hidden = !data.said;
}
