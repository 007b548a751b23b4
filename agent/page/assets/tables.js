// The tables: interfaces, sinks, events, and what every counter means.

import { TITLES, kindOf } from "./charts.js";
import { bytes, clock, color, el, number, span } from "./format.js";

const SHORT = {
  bw_in_allowance_exceeded: "BW in", bw_out_allowance_exceeded: "BW out", pps_allowance_exceeded: "PPS",
  conntrack_allowance_exceeded: "Conntrack", linklocal_allowance_exceeded: "Link-local", conntrack_allowance_available: "Conns left",
};
const allowance = (row, name) => (row.info.allowances ?? []).find((a) => a.name === name);

// update makes the rows of a table those in lines, and leaves every cell that
// says the same, so that what is clicked or focused stays where it is.
function update(body, lines) {
  while (body.rows.length > lines.length) body.lastElementChild.remove();
  lines.forEach((line, n) => {
    const old = body.rows[n];
    const focused = old?.contains(document.activeElement) && old.cells[0].textContent === line.cells[0].textContent;
    if (!old || old.cells.length !== line.cells.length || old.cells[0].outerHTML !== line.cells[0].outerHTML) {
      old ? old.replaceWith(line) : body.append(line);
      if (focused) line.querySelector("input")?.focus();
      return;
    }
    old.className = line.className;
    [...line.cells].forEach((cell, at) => { if (old.cells[at].outerHTML !== cell.outerHTML) old.cells[at].replaceWith(cell); });
  });
}

export class Interfaces {
  constructor(table, filter, state, changed) {
    this.table = table; this.state = state; this.changed = changed;
    this.sort = { key: "name", down: false };
    this.filter = "";
    filter.addEventListener("input", () => { this.filter = filter.value.trim().toLowerCase(); this.draw(); });
  }

  draw() {
    const names = Object.keys(TITLES).filter((n) => this.state.list().some((r) => allowance(r, n)));
    this.head(names);
    const rows = this.state.list().filter((r) => this.matches(r.info)).sort((a, b) => this.compare(a, b));
    const body = this.table.tBodies[0] ?? this.table.createTBody();
    const lines = rows.map((r) => this.line(r, names));
    if (!lines.length) lines.push(el("tr", {}, el("td", { colspan: 5 + names.length }, this.filter ? "No interface matches." : "This host has no ENA interface.")));
    update(body, lines);
  }

  matches(i) {
    return !this.filter || [i.name, i.mac, i.eni, i.bus_info, ...(i.pods ?? [])].some((s) => (s ?? "").toLowerCase().includes(this.filter));
  }

  compare(a, b) {
    const of = (r) => (this.sort.key === "name" ? r.info.name : Number(allowance(r, this.sort.key)?.sum ?? -1));
    const x = of(a), y = of(b);
    const order = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
    return this.sort.down ? -order : order;
  }

  head(names) {
    const mark = names.join() + this.sort.key + this.sort.down;
    if (mark === this.headMark) return;
    this.headMark = mark;
    const sortable = (key, text, number) => el("th", { scope: "col", class: number ? "number" : null,
      "aria-sort": this.sort.key !== key ? null : this.sort.down ? "descending" : "ascending" },
      el("button", { type: "button", title: `Sort by ${text}`, onclick: () => {
        this.sort = { key, down: this.sort.key === key ? !this.sort.down : number };
        this.draw();
        this.table.tHead.querySelector("th[aria-sort] button")?.focus();
      } }, text));
    this.table.createTHead().replaceChildren(el("tr", {}, sortable("name", "Interface", false), el("th", { scope: "col" }, "Reading"),
      ...names.map((n) => sortable(n, SHORT[n], true)), el("th", { scope: "col" }, "Driver"), el("th", { scope: "col" }, "Pods"), el("th", { scope: "col" }, "Other counters that grew")));
  }

  line(r, names) {
    const i = r.info, good = i.verdict === "valid";
    const box = el("input", { type: "checkbox", "data-key": r.key, checked: r.shown, onchange: (e) => { r.shown = e.target.checked; this.changed(); } });
    return el("tr", { class: r.shown ? null : "off" },
      el("td", {}, el("label", {}, box, el("span", { class: "swatch", color: color(this.state.list().indexOf(r)) }), i.name),
        el("small", {}, [i.eni, i.mac].filter(Boolean).join(" · "))),
      el("td", { class: good ? null : "wrap" }, el("span", { class: `badge ${i.left ? "" : good ? "good" : "bad"}` }, i.left ? "detached" : i.verdict),
        i.link === "down" ? el("small", {}, "link down") : null, good || i.left ? null : el("small", {}, i.reason ?? "")),
      ...names.map((n) => this.cell(allowance(r, n), n)),
      el("td", {}, i.driver_version), el("td", { class: "wrap" }, (i.pods ?? []).join(", ") || "–"),
      el("td", { class: "wrap" }, i.counters.filter((c) => c.sum > 0).map((c) => `${c.name} ${number(c.sum)}`).join(", ") || "none"));
  }

  cell(a, name) {
    if (!a) return el("td", { class: "number zero", title: "this driver does not have it" }, "–");
    const gauge = name === "conntrack_allowance_available";
    const now = a.values.at(-1);
    return el("td", { class: `number ${!gauge && a.sum === 0 ? "zero" : !gauge && now > 0 ? "hurt" : ""}` }, number(a.sum),
      !gauge && a.worst ? el("small", {}, `worst ${number(a.worst)}/s`) : null);
  }
}

function fill(table, head, lines) {
  table.replaceChildren(el("thead", {}, el("tr", {}, ...head.map(([h, cls]) => el("th", { scope: "col", class: cls }, h)))), el("tbody", {}, ...lines));
}

// drawLinkLocal shows budgets and senders, where they are counted.
export function drawLinkLocal(section, budgets, senders, linklocal) {
  section.hidden = !linklocal;
  if (!linklocal) return;
  fill(budgets, [["Interface"], ["Budget used, fullest second of a minute", "number"], ["Packets in it", "number"], ["Packets so far"], ["DNS unanswered", "number"]],
    linklocal.interfaces.map((b) => el("tr", {}, el("td", {}, el("b", {}, b.name)),
      el("td", { class: `number ${b.budget_used > 100 ? "hurt" : ""}` }, el("meter", { min: 0, max: 100, low: 80, high: 100, optimum: 0, value: Math.min(b.budget_used, 100), "aria-label": `${b.name}: ${b.budget_used} % used` }), ` ${b.budget_used} %`),
      el("td", { class: "number" }, number(b.pps_peak)),
      el("td", {}, b.services.map((s) => `${s.name} ${number(s.packets)}`).join(", ") || "none"),
      el("td", { class: `number ${b.dns_unanswered ? "hurt" : "zero"}` }, number(b.dns_unanswered)))));
  const lines = linklocal.senders.map((s) => el("tr", {}, el("td", {}, el("b", {}, s.name)), el("td", { class: "number" }, number(s.packets)), el("td", { class: "number" }, number(s.pps_peak))));
  if (linklocal.others) lines.push(el("tr", {}, el("td", {}, "all others"), el("td", { class: "number" }, number(linklocal.others)), el("td", { class: "number" }, "–")));
  if (!lines.length) lines.push(el("tr", {}, el("td", { colspan: 3 }, "Nobody sent in the last minute, or this host can't tell who.")));
  fill(senders, [["Sender"], ["Packets in the last minute", "number"], ["In the fullest second", "number"]], lines);
}

export function drawSinks(table, sinks, now) {
  const ago = (t) => (t ? `${span(Math.max(0, now - t))} ago` : "–");
  const head = ["Destination", "State", "Last success", "Waiting", "Oldest", "Delivered", "May count twice", "Dropped"];
  const numeric = (n) => n >= 5 || n === 3;
  const lines = sinks.map((s) => {
    const [cls, word] = s.problem ? ["bad", "failing"] : s.dropped > 0 ? ["warn", "has dropped data"] : s.delivered > 0 ? ["good", "ok"] : ["", "nothing yet"];
    const dropped = Object.entries(s.dropped_by ?? {}).map(([k, v]) => `${k} ${number(v)}`).join(", ");
    return el("tr", {}, el("td", {}, el("b", {}, s.name)),
      el("td", { class: "wrap" }, el("span", { class: `badge ${cls}` }, word), s.problem ? el("small", {}, s.problem) : null),
      el("td", {}, ago(s.last_success)),
      el("td", { class: "number" }, number(s.waiting), s.waiting ? el("small", {}, bytes(s.waiting_bytes)) : null),
      el("td", {}, s.oldest_waiting ? ago(s.oldest_waiting) : "–"),
      el("td", { class: "number" }, number(s.delivered)), el("td", { class: "number" }, number(s.ambiguous)),
      el("td", { class: `number ${s.dropped > 0 ? "hurt" : ""}` }, number(s.dropped), dropped ? el("small", {}, dropped) : null));
  });
  fill(table, head.map((h, n) => [h, numeric(n) ? "number" : null]), lines);
}

export function drawEvents(list, events, look) {
  const newest = events.at(-1);
  const mark = newest ? `${newest.seq}@${newest.at}` : "0"; // another agent begins at 1 again
  if (list.dataset.mark === mark) return;
  list.dataset.mark = mark;
  const lines = events.slice(-200).reverse().map((e) => {
    const [sign, word, hue] = kindOf(e);
    const cls = { "--good": "good", "--warn": "warn", "--bad": "bad" }[hue] ?? "";
    return el("li", {}, el("span", {}, el("button", { type: "button", title: "Look at this moment", onclick: () => look(e.at) }, clock(e.at))),
      el("span", { class: `badge ${cls}` }, `${sign} ${word}`), el("span", { class: "text" }, el("b", {}, [e.interface, e.sink].filter(Boolean).join(" ")), " ", e.text));
  });
  list.replaceChildren(...(lines.length ? lines : [el("li", {}, "Nothing yet.")]));
}

export function drawCatalogue(list, catalogue) {
  list.replaceChildren(...catalogue.flatMap((s) => [el("dt", {}, s.name), el("dd", {}, s.meaning), el("dd", { class: "do" }, s.advice)]));
}
