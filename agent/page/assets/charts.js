// One chart for each allowance. All of them show the same time.

import { clock, compact, color, css, el, number, set, span } from "./format.js";

export const TITLES = {
  bw_in_allowance_exceeded: "Bandwidth in",
  bw_out_allowance_exceeded: "Bandwidth out",
  pps_allowance_exceeded: "Packets per second",
  conntrack_allowance_exceeded: "Tracked connections",
  linklocal_allowance_exceeded: "DNS, IMDS and NTP (link-local)",
  conntrack_allowance_available: "Connections left",
};

export const KINDS = {
  attach: ["▲", "attached", "--good"], detach: ["▼", "detached", "--soft"], rename: ["≡", "renamed", "--soft"],
  reset: ["↺", "reset", "--warn"], health: ["!", "driver health", "--warn"], suspect: ["?", "suspect reading", "--warn"],
  believed: ["✓", "believed again", "--good"], clock: ["◷", "clock stepped", "--warn"],
  publish_failed: ["✗", "publish failed", "--bad"], publish_ok: ["✓", "publishing again", "--good"],
  warning: ["!", "warning", "--warn"], error: ["✗", "error", "--bad"],
};
export const kindOf = (e) => KINDS[e.kind] ?? ["•", e.kind, "--soft"];

const sync = uPlot.sync("seconds");

export class Charts {
  constructor(root, state, view) {
    this.root = root; this.state = state; this.view = view;
    this.cards = new Map(); // by stat
    this.layout = "";
    new ResizeObserver(() => this.resize()).observe(root);
  }

  // draw brings every chart up to date: anew if the interfaces or the theme are
  // others.
  draw(catalogue) {
    const rows = this.state.list().filter((r) => r.shown);
    const names = catalogue.filter((s) => s.allowance && this.state.list().some((r) => r.values.has(s.name)));
    const layout = [...names.map((s) => s.name), ...rows.map((r) => r.key + r.info.name), document.documentElement.dataset.theme].join("|");
    if (layout !== this.layout) { this.layout = layout; this.build(names, rows); }
    const [from, to] = this.view.window();
    for (const card of this.cards.values()) this.update(card, rows, from, to);
  }

  build(stats, rows) {
    const open = new Set([...this.cards.values()].flatMap((c) => [...c.root.querySelectorAll("details[open]")].map((d) => c.stat.name + d.className)));
    for (const c of this.cards.values()) c.plot.destroy();
    this.cards.clear();
    this.root.replaceChildren(...stats.map((s) => this.card(s, rows, open)));
    for (const c of this.cards.values()) this.plot(c, rows);
  }

  card(stat, rows, open) {
    const card = { stat, gauge: stat.kind === "gauge", rows };
    card.badge = el("span", { class: "badge" });
    card.now = el("p", { class: "now" });
    card.chart = el("div", { class: "chart", role: "img" });
    card.table = el("table");
    const title = TITLES[stat.name] ?? stat.name;
    card.seconds = el("details", { class: "seconds", open: open.has(stat.name + "seconds"), ontoggle: () => this.fillTable(card) },
      el("summary", {}, card.gauge ? "The last seconds" : "Seconds that hurt"),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `${title}: seconds` }, card.table));
    card.root = el("article", { class: "card", id: "card-" + stat.name },
      el("h3", {}, title, card.badge), card.now, card.chart,
      el("details", { class: "meaning", open: open.has(stat.name + "meaning") }, el("summary", {}, "What it means, what to do"),
        el("p", {}, stat.meaning), el("p", {}, stat.advice)),
      card.seconds);
    this.cards.set(stat.name, card);
    return card.root;
  }

  plot(card, rows) {
    const stepped = uPlot.paths.stepped({ align: -1 });
    const grid = { stroke: css("--grid"), width: 1 }, soft = css("--soft");
    const font = "12px system-ui, sans-serif";
    card.tip = el("div", { class: "tip", hidden: true });
    card.plot = new uPlot({
      width: card.chart.clientWidth, height: 168, padding: [14, 6, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: sync.key, setSeries: false }, y: false, points: { size: 7 }, drag: { x: true, y: false } },
      scales: { x: { range: () => this.view.window() }, y: { range: (_, min, max) => this.range(card, min, max) } },
      axes: [
        { stroke: soft, grid, ticks: grid, font, values: (_, list) => list.map((t) => clock(t).replace(/:00$/, "")), space: 70 },
        { stroke: soft, grid, ticks: grid, font, size: 52, values: (_, list) => list.map(compact) },
      ],
      series: [{}, ...rows.map((r, n) => ({
        label: r.info.name, stroke: color(this.index(r)), width: 1.6, paths: stepped, points: { show: false },
        fill: rows.length === 1 && !card.gauge ? color(this.index(r)) + "44" : undefined,
      }))],
      hooks: {
        drawClear: [(u) => this.shade(u)],
        draw: [(u) => this.marks(u)],
        setCursor: [(u) => this.tip(card, u)],
        setSelect: [(u) => {
          if (u.select.width < 4) return;
          this.view.zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
      },
    }, [[], ...rows.map(() => [])], card.chart);
    card.plot.over.addEventListener("dblclick", () => this.view.follow());
    card.plot.over.addEventListener("mouseleave", () => { card.tip.hidden = true; });
    card.chart.append(card.tip);
  }

  index(row) { return this.state.list().indexOf(row); }

  range(card, min, max) {
    if (!card.gauge) return [0, Math.max(4, (max ?? 0) * 1.12)];
    if (min === null) return [0, 10];
    const room = Math.max((max - min) * 0.15, max * 0.02, 1);
    return [Math.max(0, min - room), max + room];
  }

  update(card, rows, from, to) {
    card.rows = rows;
    const none = new Array(this.state.times.length).fill(null);
    card.plot.setData([this.state.times, ...rows.map((r) => r.values.get(card.stat.name) ?? none)]);
    this.say(card, from, to);
    if (card.seconds.open) this.fillTable(card);
  }

  say(card, from, to) {
    const name = card.stat.name, title = TITLES[name] ?? name;
    let cls = "good", badge = "quiet", parts, label;
    if (card.gauge) {
      const s = this.state.least(name, from, to), room = this.state.head?.conntrack;
      const left = room?.seconds_left;
      parts = [el("b", {}, number(s.now)), el("span", {}, `least ${number(s.worst)}${s.worstAt ? " at " + clock(s.worstAt) : ""}`)];
      if (left) parts.push(el("span", {}, `${number(room.slope)}/s: full in ${span(left)} at this pace`));
      if (left && left < 900) [cls, badge] = ["bad", `full in ${span(left)}`];
      else if (s.now === 0) [cls, badge] = ["bad", "full"];
      else badge = "room left";
    } else {
      const s = this.state.sum(name, from, to);
      parts = [el("b", {}, `${number(s.now)}/s`)];
      if (s.worst > 0) {
        parts.push(el("span", {}, `worst ${number(s.worst)}/s at ${clock(s.worstAt)}`), el("span", {}, `${number(s.total)} packets in ${s.hurt} s`));
        [cls, badge] = s.now > 0 ? ["bad", "exceeded now"] : ["warn", `${s.hurt} s hurt`];
      } else parts.push(el("span", {}, "not exceeded in this time"));
    }
    label = `${title}, from ${clock(from)} to ${clock(to)}: ${parts.map((p) => p.textContent).join(", ")}`;
    set(card.badge, badge);
    card.badge.className = `badge ${cls}`;
    card.root.classList.toggle("bad", cls === "bad");
    if (card.label === label) return;
    card.label = label;
    card.now.replaceChildren(...parts);
    card.chart.setAttribute("aria-label", label);
  }

  // fillTable lists seconds for who can't see the chart, the newest first.
  fillTable(card) {
    if (!card.seconds.open) return;
    const [from, to] = this.view.window(), times = this.state.times, lines = [];
    for (let n = times.length - 1; n >= 0 && times[n] >= from && lines.length < 200; n--) {
      if (times[n] > to) continue;
      for (const r of card.rows) {
        const v = r.values.get(card.stat.name)?.[n] ?? null;
        if (v === null || (v === 0 && !card.gauge)) continue;
        lines.push(el("tr", {}, el("td", {}, clock(times[n])), el("td", {}, r.info.name), el("td", { class: "number" }, number(v))));
      }
    }
    if (!lines.length) lines.push(el("tr", {}, el("td", { colspan: 3 }, "None in this time.")));
    card.table.replaceChildren(el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Second"), el("th", { scope: "col" }, "Interface"),
      el("th", { scope: "col", class: "number" }, card.gauge ? "Left" : "Packets"))), el("tbody", {}, ...lines));
  }

  // shade marks seconds whose readings were not believed, or not made.
  shade(u) {
    const { ctx, bbox } = u, times = this.state.times, [from, to] = this.view.window();
    const width = Math.max(1, u.valToPos(from + 1, "x", true) - u.valToPos(from, "x", true));
    ctx.save();
    for (let n = 0; n < times.length; n++) {
      if (times[n] < from || times[n] > to) continue;
      const states = this.state.list().filter((r) => r.shown).map((r) => r.states[n]);
      const fill = states.includes("s") ? css("--warn") : states.some((s) => s === "g" || s === "m") ? css("--soft") : null;
      if (!fill) continue;
      ctx.globalAlpha = 0.18;
      ctx.fillStyle = fill;
      ctx.fillRect(u.valToPos(times[n], "x", true) - width, bbox.top, width, bbox.height);
    }
    ctx.restore();
  }

  // marks draws a line and a sign for each event.
  marks(u) {
    const { ctx, bbox } = u, [from, to] = this.view.window(), ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    let lastX = -100;
    for (const e of this.state.events) {
      if (e.at < from || e.at > to) continue;
      const [sign, , hue] = kindOf(e), x = Math.round(u.valToPos(e.at, "x", true));
      ctx.strokeStyle = ctx.fillStyle = css(hue);
      ctx.lineWidth = ratio;
      ctx.setLineDash([3 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (x - lastX > 9 * ratio) { ctx.fillText(sign, x, bbox.top - 3 * ratio); lastX = x; }
    }
    ctx.restore();
  }

  tip(card, u) {
    const n = u.cursor.idx;
    if (n === null || n === undefined || u.cursor.left < 0 || !u.over.matches(":hover")) { card.tip.hidden = true; return; }
    const t = this.state.times[n];
    const values = card.rows.map((r) => ({ r, v: r.values.get(card.stat.name)?.[n] ?? null, s: r.states[n] }));
    values.sort((a, b) => (b.v ?? -1) - (a.v ?? -1));
    const word = { s: "not believed", g: "could not be read", m: "not read in time", b: "first reading", ".": "not there" };
    const lines = values.slice(0, 8).map(({ r, v, s }) => el("div", {}, el("i", { color: color(this.index(r)) }),
      `${r.info.name}  ${v === null ? (word[s] ?? "no value") : number(v)}`));
    if (values.length > 8) lines.push(el("div", {}, `and ${values.length - 8} more`));
    for (const e of this.state.events.filter((e) => Math.abs(e.at - t) <= Math.max(1, (u.scales.x.max - u.scales.x.min) / 200)).slice(-3)) {
      lines.push(el("div", {}, `${kindOf(e)[0]} ${kindOf(e)[1]}: ${[e.interface, e.sink].filter(Boolean).join(" ")}`));
    }
    card.tip.replaceChildren(el("b", {}, clock(t)), ...lines);
    card.tip.hidden = false;
    const left = u.over.offsetLeft + u.cursor.left, room = card.chart.clientWidth;
    card.tip.style.left = left > room / 2 ? "" : `${left + 14}px`;
    card.tip.style.right = left > room / 2 ? `${room - left + 14}px` : "";
    card.tip.style.top = "18px";
  }

  resize() {
    for (const c of this.cards.values()) {
      if (c.chart.clientWidth > 0 && c.chart.clientWidth !== c.plot.width) c.plot.setSize({ width: c.chart.clientWidth, height: 168 });
    }
  }
}
