// How numbers, times and elements are written.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const number = (v) => (v === null || v === undefined ? "–" : whole.format(v));
export const compact = (v) => (v === null || v === undefined ? "" : short.format(v));

const two = (n) => String(n).padStart(2, "0");
export const clock = (seconds) => {
  const d = new Date(seconds * 1000);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
};
export const zone = () => {
  const m = -new Date().getTimezoneOffset();
  if (m === 0) return "UTC";
  return `local, UTC${m < 0 ? "−" : "+"}${Math.floor(Math.abs(m) / 60)}${m % 60 ? ":" + two(Math.abs(m) % 60) : ""}`;
};
export const span = (s) => {
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
};
export const bytes = (n) => (n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1048576).toFixed(1)} MiB`);

// el makes an element. Text is text: nothing that the agent says is markup.
export function el(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) {
    if (v === null || v === undefined || v === false) continue;
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (k === "color") e.style.backgroundColor = v;
    else e.setAttribute(k, v === true ? "" : v);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined).map((c) => (c instanceof Node ? c : String(c))));
  return e;
}

// set writes a text only if it is another, so that screen readers stay quiet.
export function set(e, text) { if (e.textContent !== text) e.textContent = text; }

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const color = (n) => css(`--c${n % 8}`);
