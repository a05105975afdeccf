const data = JSON.parse(document.getElementById("data").textContent);
const frames = framesOf(data), tree = new Tree(frames, data.depth, data.frame);
const ROWS = 50, CELL = 5, MOST_COLUMNS = 3600, AXIS = 18;
const MODES = ["scripts", "on the CPU", "core", "idle", "everything"];
const state = { value: data.value, mode: 0, range: null, theme: null };
const own = data.own.map(column => Float64Array.from(column));
const wholeTotals = own.map(column => tree.totals(column));

// Times of runs, and the time between two samples of a run: no more than to the next run of the same process.
const n = data.dt.length, times = new Float64Array(n), steps = new Float64Array(n), following = new Map();
for (let i = 0, t = 0; i < n; i++) { t += data.dt[i]; times[i] = t; }
for (let i = n - 1; i >= 0; i--) {
  const group = data.group[data.stack[i]] ?? 0, next = following.get(group) ?? times[i] + 1e6 + data.count[i] * data.period_us;
  steps[i] = Math.max(0, Math.min(data.period_us, (next - times[i]) / data.count[i]));
  following.set(group, times[i]);
}

// A run lasts a second at most: of more samples than this, so many moments stand for all.
const MOMENTS = 1000;

// How many samples of run i lie at each of its moments: calls each(time, samples).
function moments(i, each) {
  const few = Math.min(data.count[i], MOMENTS), step = steps[i] * data.count[i] / few;
  for (let k = 0; k < few; k++) each(times[i] + k * step, data.count[i] / few);
}

// By stack: script, core or idle; what one sample of it stands for.
const sort = data.leaf.map(node => { const kind = frames[tree.frame[node]]?.kind; return tree.depth[node] === 0 && (kind === "core" || kind === "idle") ? kind : "script"; });
const perSample = data.values.map((_, v) => Float64Array.from(data.leaf, node => {
  const samples = own[data.values.findIndex(([name]) => name === "samples")][node];
  return samples ? own[v][node] / samples : 0;
}));

// The time that a column stands for: a second, or more for long recordings.
const first = n ? Math.floor(times[0] / 1e6) : 0, last = times.reduce((end, t, i) => Math.max(end, t + steps[i] * (data.count[i] - 1)), 0) / 1e6;
let span = 1;
for (let i = 0; (last - first) / span > MOST_COLUMNS; i++) span *= i % 2 ? 6 : 10;
const origin = Math.floor(first / span) * span, columns = n ? Math.min(MOST_COLUMNS + 1, Math.floor((last - origin) / span) + 1) : 0;
const cellUs = span * 1e6 / ROWS, originUs = origin * 1e6;

function counted(stack) {
  const kind = sort[stack];
  return state.mode === 4 || state.mode === 0 && kind === "script" || state.mode === 1 && kind !== "idle" || MODES[state.mode] === kind;
}

let cells = null, most = 0;
function countCells() {
  cells = new Float64Array(columns * ROWS);
  const below = matching(), use = sort.map((_, stack) => counted(stack) && (!below || below[data.leaf[stack]]));
  for (let i = 0; i < n; i++) {
    if (!use[data.stack[i]]) continue;
    moments(i, (t, samples) => {
      const cell = Math.floor((t - originUs) / cellUs);
      if (cell >= 0 && cell < cells.length) cells[cell] += samples;
    });
  }
  most = cells.reduce((a, b) => Math.max(a, b), 0);
}

// By node: whether it or a caller matches the search; null without one.
function matching() {
  if (!flame.matches) return null;
  const below = new Uint8Array(tree.length);
  for (let i = 0; i < tree.length; i++) below[i] = flame.matches[tree.frame[i]] || tree.parent[i] >= 0 && below[tree.parent[i]] ? 1 : 0;
  return below;
}

function size() { return Math.max(2, Math.min(24, Math.floor((document.body.clientWidth - 40) / Math.max(columns, 1)))); }

function drawMap() {
  const canvas = $("map"), wide = size(), width = Math.max(1, columns * wide), height = columns ? ROWS * CELL + AXIS : 0;
  const scale = Math.min(devicePixelRatio || 1, TALLEST / width);
  canvas.style.width = width + "px";
  canvas.style.height = height + "px";
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  if (!columns) return;
  const g = canvas.getContext("2d"), dark = document.documentElement.dataset.theme === "dark";
  g.scale(scale, scale);
  g.fillStyle = dark ? "#20242b" : "#f1f2f4";
  g.fillRect(0, 0, width, ROWS * CELL);
  for (let cell = 0; cell < cells.length; cell++) {
    if (!cells[cell]) continue;
    const strength = Math.pow(cells[cell] / most, 0.7), column = Math.floor(cell / ROWS), row = cell % ROWS;
    g.fillStyle = hsl(50 - 50 * strength, 95, dark ? 22 + 40 * strength : 88 - 45 * strength);
    g.fillRect(column * wide, (ROWS - 1 - row) * CELL, wide - (wide > 4 ? 1 : 0), CELL - 1);
  }
  if (state.range) {
    g.fillStyle = "#1a5fb455";
    g.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent");
    const [from, to] = state.range;
    for (let column = Math.floor(from / ROWS); column <= Math.floor(to / ROWS); column++) {
      const low = Math.max(from - column * ROWS, 0), high = Math.min(to - column * ROWS, ROWS - 1);
      g.fillRect(column * wide, (ROWS - 1 - high) * CELL, wide, (high - low + 1) * CELL);
    }
    g.strokeRect(Math.floor(from / ROWS) * wide + 0.5, 0.5, (Math.floor(to / ROWS) - Math.floor(from / ROWS) + 1) * wide - 1, ROWS * CELL - 1);
  }
  g.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--dim");
  g.font = "11px system-ui, sans-serif";
  const every = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200].find(k => k * wide >= 60) ?? 3600;
  for (let column = 0; column < columns; column += every) g.fillText(`${origin + column * span} s`, column * wide, ROWS * CELL + 13);
}

function clock(us) { return new Date(data.time_ms + us / 1000).toISOString().replace("T", " ").replace("Z", ""); }

function cellAt(e) {
  const box = $("map").getBoundingClientRect();
  const column = Math.min(columns - 1, Math.max(0, Math.floor((e.clientX - box.left) / size())));
  return column * ROWS + ROWS - 1 - Math.min(ROWS - 1, Math.max(0, Math.floor((e.clientY - box.top) / CELL)));
}

// The flame graph of the range: samples whose moment lies in it.
function showRange() {
  let totals = wholeTotals[state.value];
  if (state.range) {
    const from = originUs + state.range[0] * cellUs, to = originUs + (state.range[1] + 1) * cellUs, part = new Float64Array(tree.length);
    for (let i = 0; i < n; i++) {
      if (times[i] >= to || times[i] + steps[i] * data.count[i] < from) continue;
      let inside = 0;
      moments(i, (t, samples) => { if (t >= from && t < to) inside += samples; });
      const stack = data.stack[i];
      if (inside && stack >= 0) part[data.leaf[stack]] += inside * perSample[state.value][stack];
    }
    totals = tree.totals(part);
  }
  flame.show(tree, totals, hidden);
  const whole = flame.whole, unit = data.values[state.value][1];
  const what = state.range ? `${clock(originUs + state.range[0] * cellUs)} to ${clock(originUs + (state.range[1] + 1) * cellUs)} UTC` : "the whole time";
  $("range").textContent = `${what}, ${MODES[state.mode]}: ${amount(Math.round(whole), unit)}`;
  changed();
}

function hidden(number) {
  const kind = frames[number].kind, core = kind === "core" || kind === "idle";
  return state.mode === 0 ? core : state.mode === 1 ? kind === "idle" : state.mode === 4 ? false : kind !== MODES[state.mode];
}

function text(node) {
  const unit = data.values[state.value][1];
  if (node < 0) return amount(Math.round(flame.whole), unit);
  const f = frames[tree.frame[node]];
  return [f.name + (f.kind === "other" ? "" : ` (${f.kind})`), `${amount(Math.round(flame.totals[node]), unit)}, ${percent(flame.totals[node], flame.base())} of what is shown`, about(f)].join("\n");
}

const flame = new Flame($("graph"), $("tip"), { colour: number => frameColour(frames[number], "kind"), text, changed, root: () => MODES[state.mode] });

function changed() {
  const found = flame.matched();
  $("matched").textContent = found === null ? "" : `matched ${percent(found, flame.base())}`;
  $("detail").textContent = flame.picked >= 0 ? text(flame.picked) : "";
  writeAddress({ search: $("search").value, range: state.range ? state.range.join("-") : "", mode: state.mode || "", theme: state.theme, value: state.value === data.value ? "" : data.values[state.value][0] });
}

function refresh() {
  theme(state.theme);
  countCells();
  drawMap();
  showRange();
  const made = (label, pressed, action) => {
    const b = element("button", label, { onclick: () => { action(); refresh(); } });
    b.setAttribute("aria-pressed", String(pressed));
    return b;
  };
  $("buttons").replaceChildren(
    ...MODES.map((name, i) => made(name, state.mode === i, () => { state.mode = i; flame.zoomed = flame.picked = -1; })),
    ...data.values.map(([name], i) => made(name, state.value === i, () => { state.value = i; })),
    made(document.documentElement.dataset.theme === "dark" ? "light" : "dark", false, toggle.d),
    made("whole time", state.range === null, toggle[0]),
  );
}

const toggle = {
  m() { state.mode = (state.mode + 1) % MODES.length; flame.zoomed = flame.picked = -1; },
  v() { state.value = (state.value + 1) % data.values.length; },
  d() { state.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark"; },
  0() { state.range = null; flame.zoomed = flame.picked = -1; },
};

let pressed = null;
const map = $("map");
map.addEventListener("mousedown", e => { if (columns) { pressed = cellAt(e); e.preventDefault(); map.focus(); } });
map.addEventListener("mousemove", e => {
  if (!columns) return;
  const cell = cellAt(e);
  if (pressed !== null && cell !== pressed) { state.range = [Math.min(pressed, cell), Math.max(pressed, cell)]; drawMap(); }
  $("tip").style.display = "block";
  $("tip").textContent = `${clock(originUs + cell * cellUs)} UTC\n${Math.round(cells[cell])} samples of ${MODES[state.mode]}`;
  $("tip").style.left = Math.min(e.clientX + 14, innerWidth - 220) + "px";
  $("tip").style.top = e.clientY + 18 + "px";
});
map.addEventListener("mouseleave", () => { $("tip").style.display = "none"; });
addEventListener("mouseup", e => {
  if (pressed === null) return;
  const cell = cellAt(e);
  if (cell === pressed) { const column = Math.floor(cell / ROWS); state.range = [column * ROWS, column * ROWS + ROWS - 1]; }
  pressed = null;
  flame.zoomed = flame.picked = -1;
  refresh();
});
map.addEventListener("dblclick", () => { toggle[0](); refresh(); });
addEventListener("resize", drawMap);

function moveRange(by, extend) {
  if (!columns) return;
  const [from, to] = state.range ?? (by > 0 ? [-ROWS, -1] : [columns * ROWS, columns * ROWS + ROWS - 1]), end = columns * ROWS - 1;
  state.range = extend ? [from, Math.min(end, Math.max(from, to + by * ROWS))] : [Math.max(0, Math.min(end, from + by * ROWS)), Math.max(0, Math.min(end, to + by * ROWS))];
  refresh();
}

function search() { flame.search(tester($("search").value)); countCells(); drawMap(); changed(); }

setUp(data, flame, toggle, refresh, search, e => {
  if (document.activeElement !== map || !["ArrowLeft", "ArrowRight"].includes(e.key)) return false;
  moveRange(e.key === "ArrowRight" ? 1 : -1, e.shiftKey);
  return true;
});
const asked = readAddress(), range = /^(\d+)-(\d+)$/.exec(asked.range ?? "");
if (range && Number(range[1]) <= Number(range[2]) && Number(range[2]) < columns * ROWS) state.range = [Number(range[1]), Number(range[2])];
if (Number(asked.mode) > 0 && Number(asked.mode) < MODES.length) state.mode = Number(asked.mode);
else if (data.scripts === 0) state.mode = 4;
const value = data.values.findIndex(([name]) => name === asked.value);
if (value >= 0) state.value = value;
if (asked.theme === "dark" || asked.theme === "light") state.theme = asked.theme;
$("search").value = asked.search ?? "";
refresh();
search();
