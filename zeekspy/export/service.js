"use strict";
// The page of `zeekspy serve`: asks for live.json every few seconds. What it gets is set as text, never as HTML.

const EVERY_MS = 3000;
const element = (id) => document.getElementById(id);
const percent = (share) => (100 * share).toFixed(1) + " %";
let chosen = null;

function row(cells, chosenOne) {
  const tr = document.createElement("tr");
  for (const [text, kind] of cells) {
    const td = document.createElement("td");
    if (kind === "bar") {
      const bar = document.createElement("span");
      bar.className = "share";
      bar.style.width = Math.round(120 * text) + "px";
      td.append(bar);
    } else {
      td.textContent = text === null ? "" : String(text);
      if (kind) td.className = kind;
      if (kind === "place") td.title = td.textContent;
    }
    tr.append(td);
  }
  if (chosenOne) tr.className = "chosen";
  return tr;
}

function asked() {
  return chosen === null ? "" : "&node=" + encodeURIComponent(chosen);
}

function draw() {
  const query = "seconds=60" + asked();
  element("flame").src = "flamegraph?" + query;
  element("alone").href = "flamegraph?" + query;
  element("file").href = "debug/pprof/profile?seconds=10" + asked();
}

function choose(node) {
  chosen = chosen === node ? null : node;
  draw();
  look();
}

function show(data, all) {
  const more = all.more_nodes ? ` and ${all.more_nodes} more` : "";
  element("headline").textContent =
    `${all.attached} attached${more}, ${all.samples} samples in the last ${all.seconds} s; click a node to see it alone`;
  element("nodes").replaceChildren(...all.nodes.map((n) => {
    const tr = row([
      [n.node], [n.role], [n.pid, "n"], [n.version], [percent(n.cpu), "n"], [percent(n.script), "n"],
      [percent(n.core), "n"], [percent(n.idle), "n"], [n.samples, "n"],
    ], n.node === chosen);
    tr.addEventListener("click", () => choose(n.node));
    return tr;
  }));
  element("hot").textContent = `Bodies of ${chosen === null ? "all nodes" : chosen} in the last ${data.seconds} s, by CPU time`;
  element("bodies").replaceChildren(...data.bodies.map((b) => row([
    [percent(b.own), "n"], [b.own, "bar"], [percent(b.total), "n"], [b.name], [b.kind], [b.place, "place"],
  ])));
}

async function get(query) {
  const answer = await fetch("live.json?" + query, { cache: "no-store" });
  if (!answer.ok) throw new Error((await answer.text()).trim() || String(answer.status));
  return answer.json();
}

async function look() {
  try {
    const all = await get("seconds=60");
    show(chosen === null ? all : await get("seconds=60" + asked()), all);
  } catch (e) {
    element("headline").textContent = "no answer: " + e.message;
  }
}

element("version").textContent = JSON.parse(element("data").textContent).about;
element("again").addEventListener("click", draw);
look();
setInterval(look, EVERY_MS);
