const data = JSON.parse(document.getElementById("data").textContent);
const frames = framesOf(data), tree = new Tree(frames, data.depth, data.frame);
const compares = data.base !== null;
const own = data.own.map(column => Float64Array.from(column)), totals = own.map(column => tree.totals(column));
const baseTotals = compares ? data.base.own.map(column => tree.totals(column)) : null;
const baseOwn = compares ? data.base.own : null;
const state = { value: data.value, core: data.scripts === 0, colours: compares ? "difference" : "kind", icicle: true, theme: null };
const sum = column => column.reduce((a, b) => a + b, 0);
const everything = own.map(sum), baseEverything = compares ? baseOwn.map(sum) : null;

function hidden(number) { return !state.core && (frames[number].kind === "core" || frames[number].kind === "idle"); }

function share(node) { return everything[state.value] ? totals[state.value][node] / everything[state.value] : 0; }

function baseShare(node) { return baseEverything[state.value] ? baseTotals[state.value][node] / baseEverything[state.value] : 0; }

// Red where the part of the whole has grown, blue where it has shrunk; the strongest change gives the scale.
let strongest = 0;
function measure() {
  strongest = 0;
  if (compares) for (let i = 0; i < tree.length; i++) if (!hidden(tree.frame[i])) strongest = Math.max(strongest, Math.abs(share(i) - baseShare(i)));
}

function colour(number, node) {
  if (state.colours !== "difference") return frameColour(frames[number], state.colours);
  const change = strongest ? (share(node) - baseShare(node)) / strongest : 0, strength = Math.sqrt(Math.abs(change));
  return change === 0 ? hsl(0, 0, 85) : hsl(change > 0 ? 2 : 215, 30 + 55 * strength, 88 - 28 * strength);
}

function text(node) {
  const v = state.value, [, unit] = data.values[v];
  if (node < 0) return `${flame.options.root()}\n${amount(flame.whole, unit)}`;
  const f = frames[tree.frame[node]], lines = [f.name + (f.kind in KINDS && f.kind !== "other" ? ` (${f.kind})` : "")];
  const of = (i, value) => (data.values[i][1] === "ns" ? data.values[i][0] + " " : "") + amount(value, data.values[i][1]);
  lines.push(`${of(v, totals[v][node])}, ${percent(totals[v][node], everything[v])} of all, ` +
    `${percent(totals[v][node], flame.base())} of what is shown; itself ${amount(own[v][node], unit)}`);
  const others = data.values.map((_, i) => i === v ? "" : of(i, totals[i][node])).filter(Boolean);
  lines.push(others.join(", "));
  if (compares) lines.push(`before: ${amount(baseTotals[v][node], unit)}, ${percent(baseTotals[v][node], baseEverything[v])} of all; ` +
    `change ${((share(node) - baseShare(node)) * 100).toFixed(2)} points`);
  const more = about(f);
  if (more) lines.push(more);
  return lines.join("\n");
}

const flame = new Flame($("graph"), $("tip"), { colour, text, changed, root: () => state.core ? "all" : "scripts" });

function changed() {
  const found = flame.matched();
  $("matched").textContent = found === null ? "" : `matched ${percent(found, flame.base())}: ${amount(found, data.values[state.value][1])}`;
  $("detail").textContent = flame.picked >= 0 || flame.zoomed >= 0 ? text(flame.picked >= 0 ? flame.picked : flame.zoomed) : "";
  writeAddress({
    search: $("search").value, zoom: flame.zoomed >= 0 ? flame.zoomed : "", value: state.value === data.value ? "" : data.values[state.value][0],
    core: state.core === (data.scripts === 0) ? "" : Number(state.core), theme: state.theme, colours: state.colours === (compares ? "difference" : "kind") ? "" : state.colours,
  });
}

function refresh() {
  theme(state.theme);
  flame.icicle = state.icicle;
  measure();
  flame.show(tree, totals[state.value], hidden);
  parts();
  buttons();
  if (state.colours === "kind") legend($("legend"), Object.entries(KINDS).map(([name, c]) => [name, hsl(...c)]));
  else if (state.colours === "difference") legend($("legend"), [["more than before", hsl(2, 85, 60)], ["as before", hsl(0, 0, 85)], ["less than before", hsl(215, 85, 60)]]);
  else {
    const sizes = new Map();
    for (let i = 0; i < tree.length; i++) { const f = frames[tree.frame[i]]; if (f.directory) sizes.set(f.directory, (sizes.get(f.directory) ?? 0) + own[state.value][i]); }
    legend($("legend"), [...sizes].sort((a, b) => b[1] - a[1]).slice(0, 14).map(([name]) => [name, hsl(hash(name) % 360, 55, 68)]));
  }
  changed();
}

// Script, core and idle, as a bar.
function parts() {
  const found = { script: 0, core: 0, idle: 0 };
  for (let i = 0; i < tree.length; i = tree.end[i]) {
    const kind = frames[tree.frame[i]].kind;
    found[kind === "core" || kind === "idle" ? kind : "script"] += totals[state.value][i];
  }
  $("parts").replaceChildren(...Object.entries(found).filter(([, part]) => part > 0).map(([name, part]) => {
    const span = element("span", `${name} ${percent(part, everything[state.value])}`, { title: `${name}: ${amount(part, data.values[state.value][1])}` });
    span.style.width = 100 * part / everything[state.value] + "%";
    span.style.background = hsl(...(KINDS[name] ?? KINDS.event));
    return span;
  }));
}

function buttons() {
  const made = (label, pressed, action) => {
    const b = element("button", label, { onclick: () => { action(); refresh(); } });
    b.setAttribute("aria-pressed", String(pressed));
    return b;
  };
  const colours = [["kind", "by kind"], ["directory", "by directory"], ...(compares ? [["difference", "difference"]] : [])];
  $("buttons").replaceChildren(
    ...data.values.map(([name], i) => made(name, state.value === i, () => { state.value = i; })),
    made("core and idle", state.core, toggle.k),
    ...colours.map(([name, label]) => made(label, state.colours === name, () => { state.colours = name; })),
    made("upside down", !state.icicle, toggle.i),
    made(document.documentElement.dataset.theme === "dark" ? "light" : "dark", false, toggle.d),
    made("whole picture", false, toggle[0]),
  );
}

const toggle = {
  v() { state.value = (state.value + 1) % data.values.length; },
  k() { state.core = !state.core; flame.zoomed = flame.picked = -1; },
  c() { const all = ["kind", "directory", ...(compares ? ["difference"] : [])]; state.colours = all[(all.indexOf(state.colours) + 1) % all.length]; },
  i() { state.icicle = !state.icicle; },
  d() { state.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark"; },
  0() { flame.zoomed = flame.picked = -1; },
};

function search() { flame.search(tester($("search").value)); changed(); }

setUp(data, flame, toggle, refresh, search);
const asked = readAddress();
const value = data.values.findIndex(([name]) => name === asked.value);
if (value >= 0) state.value = value;
if (asked.core) state.core = asked.core === "1";
if (asked.theme === "dark" || asked.theme === "light") state.theme = asked.theme;
if (["kind", "directory"].includes(asked.colours)) state.colours = asked.colours;
if (Number(asked.zoom) >= 0 && Number(asked.zoom) < tree.length) flame.zoomed = flame.picked = Number(asked.zoom);
$("search").value = asked.search ?? "";
refresh();
search();
