// The live page: asks once for the last half hour, then listens.

import { Charts, TITLES } from "./charts.js";
import { clock, el, number, set, span, zone } from "./format.js";
import { openFile, saveJSON, savePNG } from "./incident.js";
import { State } from "./state.js";
import { Interfaces, drawCatalogue, drawEvents, drawLinkLocal, drawSinks } from "./tables.js";

const $ = (id) => document.getElementById(id);
const state = new State();
let catalogue = [], stream = null, saved = null, lastHeard = 0; // saved is the file that is open

// view is the time that the charts show: the newest seconds, or a part that was
// chosen.
const view = {
  range: Number(sessionStorage.getItem("range")) || 300, fixed: null, end: null,
  window() {
    if (this.fixed) return this.fixed;
    const to = this.end ?? state.now();
    return [to - this.range, to];
  },
  follow() { this.fixed = null; this.end = null; paint(); },
  zoom(from, to) { if (to - from >= 2) { this.fixed = [from, to]; paint(); } },
};
const charts = new Charts($("charts"), state, view);
const interfaces = new Interfaces($("interfaces"), $("filter"), state, () => paint());

function paint() {
  if (!state.head) return;
  const d = state.head;
  set($("host"), d.host);
  set($("instance"), d.instance_id ?? "");
  set($("version"), `enawatch ${d.version}`);
  $("simulated").hidden = !d.simulated;
  document.title = `${d.host} · enawatch`;
  for (const b of document.querySelectorAll("[data-range]")) b.setAttribute("aria-pressed", String(!view.fixed && Number(b.dataset.range) === view.range));
  $("pause").setAttribute("aria-pressed", String(view.end !== null || view.fixed !== null));
  set($("pause"), view.end !== null || view.fixed !== null ? "Resume" : "Pause");
  verdict();
  charts.draw(catalogue);
  interfaces.draw();
  drawLinkLocal($("linklocal"), $("budgets"), $("senders"), d.linklocal);
  drawSinks($("sinks"), d.sinks, state.now());
  drawEvents($("events"), state.events, (at) => { view.fixed = [at - 30, at + 30]; paint(); $("charts").focus(); });
}

// verdict says the worst of it in a sentence, and what to do.
function verdict() {
  const [from, to] = view.window();
  const hurts = catalogue.filter((s) => s.allowance && s.kind === "counter").map((s) => ({ s, ...state.sum(s.name, from, to) })).filter((h) => h.total > 0);
  hurts.sort((a, b) => (b.now > 0) - (a.now > 0) || b.total - a.total);
  const here = state.list().filter((r) => !r.info.left);
  const blind = here.filter((r) => r.info.verdict !== "valid"), failing = state.head.sinks.filter((s) => s.problem);
  let cls = "good", text = `All quiet: no allowance was exceeded from ${clock(from)} to ${clock(to)}.`, advice = "";
  if (view.end === null && !view.fixed) text = `All quiet: no allowance was exceeded in the last ${span(view.range)}.`;
  if (!here.length) [cls, text, advice] = ["warn", "This host has no ENA interface.", "enawatch goes on watching for one."];
  if (failing.length) [cls, text, advice] = ["warn", `Numbers do not reach ${failing.map((s) => s.name).join(", ")}.`, `${failing[0].problem}. They wait on disk. enawatch doctor says more.`];
  if (blind.length) [cls, text, advice] = ["warn", `${blind.map((r) => r.info.name).join(", ")}: readings are not believed.`, `${blind[0].info.reason || blind[0].info.verdict}. Baselines are held; nothing is invented.`];
  const room = state.head.conntrack;
  if (room?.seconds_left && room.seconds_left < 900) [cls, text, advice] = ["bad", `The connection table is full in ${span(room.seconds_left)} at this pace.`, catalogue.find((s) => s.name === "conntrack_allowance_exceeded")?.advice ?? ""];
  if (hurts.length) {
    const h = hurts[0], who = (h.now > 0 ? h.nowOf : h.worstOf)?.info.name ?? "";
    const title = TITLES[h.s.name] ?? h.s.name;
    cls = h.now > 0 ? "bad" : "warn";
    text = h.now > 0 ? `${title} exceeded on ${who}: ${number(h.now)} packets this second, ${number(h.total)} in ${h.hurt} s.`
      : `${title} was exceeded on ${who}: ${number(h.total)} packets in ${h.hurt} s, worst ${number(h.worst)} at ${clock(h.worstAt)}.`;
    if (hurts.length > 1) text += ` Also: ${hurts.slice(1).map((x) => TITLES[x.s.name] ?? x.s.name).join(", ")}.`;
    advice = h.s.advice;
  }
  $("verdict").className = `verdict ${cls}`;
  set($("verdict-text"), text);
  set($("verdict-advice"), advice);
}

function link(cls, text) {
  $("link").className = `badge ${cls}`;
  set($("link"), text);
}

async function load() {
  const [live, stats] = await Promise.all([fetch("/api/v1/live", { cache: "no-store" }), fetch("/api/v1/catalogue")]);
  if (!live.ok || !stats.ok) throw new Error(`the agent answers ${live.status} and ${stats.status}`);
  catalogue = await stats.json();
  const doc = await live.json();
  drawCatalogue($("stats"), catalogue);
  state.clear();
  state.take(doc);
  paint();
  listen(`${doc.tick}-${doc.last_event}`);
}

function listen(after) {
  stream?.close();
  stream = new EventSource(`/api/v1/stream?after=${encodeURIComponent(after)}`);
  stream.onmessage = (m) => {
    lastHeard = Date.now();
    link("good", "live");
    const doc = JSON.parse(m.data);
    if (state.head && doc.tick <= state.head.tick) { load().catch(lost); return; } // another agent
    state.take(doc);
    if (!document.hidden) paint();
  };
  stream.onerror = () => {
    link("bad", "no answer");
    if (stream.readyState === EventSource.CLOSED) lost();
  };
}

function lost() {
  stream?.close();
  link("bad", "no answer");
  setTimeout(() => { if (!saved) load().catch(lost); }, 3000);
}

function complain(what) { return (err) => { set($("verdict-text"), `${what}: ${err.message}.`); $("verdict").className = "verdict bad"; }; }

function theme(name) {
  document.documentElement.dataset.theme = name;
  set($("theme"), name === "dark" ? "Light" : "Dark");
  paint();
}

for (const b of document.querySelectorAll("[data-range]")) {
  b.addEventListener("click", () => { view.range = Number(b.dataset.range); sessionStorage.setItem("range", view.range); view.fixed = null; paint(); });
}
$("pause").addEventListener("click", () => {
  if (view.end !== null || view.fixed) view.follow();
  else { view.end = state.now(); paint(); }
});
$("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  theme(next);
});
$("save-json").addEventListener("click", () => saveJSON(state, saved).catch(complain("Could not save")));
$("save-png").addEventListener("click", () => savePNG(state, charts, view).catch(complain("Could not save")));
$("open").addEventListener("change", async (e) => {
  const file = e.target.files[0];
  if (!file) return;
  try {
    const doc = await openFile(file);
    saved = file;
    stream?.close();
    state.clear();
    state.limit = Infinity;
    state.take(doc);
    view.fixed = [state.times[0] ?? 0, state.now()];
    link("warn", "a saved incident: reload for live");
    paint();
  } catch (err) { complain(`${file.name} can't be opened`)(err); }
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) paint(); });
document.addEventListener("keydown", (e) => { if (e.key === "Escape") { $("incident").open = false; view.follow(); } });
setInterval(() => { if (!saved && lastHeard && Date.now() - lastHeard > 5000 * Math.max(1, state.head?.step ?? 1)) link("bad", "no answer"); }, 1000);

set($("zone"), zone());
const dark = matchMedia("(prefers-color-scheme: dark)");
theme(localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => { if (!localStorage.getItem("theme")) theme(dark.matches ? "dark" : "light"); });
load().catch(lost);
