// An incident as a file: JSON, which this page opens again, or a picture.

import { TITLES, kindOf } from "./charts.js";
import { clock, css, zone } from "./format.js";

const stamp = (t) => new Date(t * 1000).toISOString().replace(/[-:]/g, "").replace(/\.\d+/, "");

function save(blob, name) {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(blob);
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10_000);
}

// saveJSON saves the last half hour, or again the incident that is open.
export async function saveJSON(state, opened) {
  let blob = opened;
  if (!blob) {
    const answer = await fetch("/api/v1/live", { cache: "no-store" });
    if (!answer.ok) throw new Error(await answer.text());
    blob = await answer.blob();
  }
  save(blob, `enawatch-${state.head.host}-${stamp(state.now())}.json`);
}

export async function openFile(file) {
  if (file.size > 64 << 20) throw new Error("it is larger than 64 MiB");
  const doc = JSON.parse(await file.text());
  if (!Array.isArray(doc.times) || !Array.isArray(doc.interfaces) || !Array.isArray(doc.events) || !Array.isArray(doc.sinks)) {
    throw new Error("it is not an incident that enawatch saved");
  }
  return doc;
}

export async function savePNG(state, charts, view) {
  const cards = [...charts.cards.values()], scale = 2, width = 1200 * scale, pad = 24 * scale, row = 210 * scale;
  const [from, to] = view.window();
  const events = state.events.filter((e) => e.at >= from && e.at <= to).slice(-12);
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = pad * 2 + 50 * scale + Math.ceil(cards.length / 2) * row + (events.length + 1) * 20 * scale;
  const c = canvas.getContext("2d");
  c.fillStyle = css("--page"); c.fillRect(0, 0, canvas.width, canvas.height);
  const text = (s, x, y, size, hue, bold) => { c.fillStyle = css(hue); c.font = `${bold ? "600 " : ""}${size * scale}px system-ui, "DejaVu Sans", sans-serif`; c.fillText(s, x, y); };
  const d = state.head;
  text(`enawatch · ${d.host}${d.instance_id ? " · " + d.instance_id : ""}${d.simulated ? " · SIMULATED" : ""}`, pad, pad + 16 * scale, 18, "--text", true);
  text(`${new Date(from * 1000).toISOString()} to ${new Date(to * 1000).toISOString()} (axes: ${zone()})`, pad, pad + 38 * scale, 13, "--soft");
  cards.forEach((card, n) => {
    const w = (width - 3 * pad) / 2, x = pad + (n % 2) * (w + pad), y = pad + 60 * scale + Math.floor(n / 2) * row;
    text(TITLES[card.stat.name] ?? card.stat.name, x, y + 12 * scale, 14, "--text", true);
    text(card.now.innerText.replace(/\s+/g, " "), x + 260 * scale, y + 12 * scale, 11, "--soft");
    const from = card.plot.ctx.canvas;
    c.drawImage(from, x, y + 18 * scale, w, 168 * scale);
  });
  events.forEach((e, n) => {
    const y = canvas.height - pad - (events.length - 1 - n) * 20 * scale;
    text(`${clock(e.at)}  ${kindOf(e)[0]} ${kindOf(e)[1]}  ${[e.interface, e.sink].filter(Boolean).join(" ")}  ${e.text}`.slice(0, 150), pad, y, 12, kindOf(e)[2]);
  });
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  save(blob, `enawatch-${d.host}-${stamp(to)}.png`);
}
