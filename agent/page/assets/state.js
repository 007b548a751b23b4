// What the page knows: the last half hour, second by second, as /api/v1/live
// answers and its stream goes on.

export const SPAN = 1800;

export class State {
  constructor() { this.clear(); }

  clear() {
    this.limit = SPAN;      // how many seconds are kept
    this.head = null;       // the newest document, without its seconds
    this.times = [];        // Unix seconds; a gap is one time without values
    this.rows = new Map();  // by MAC and bus: {info, states, values: Map of name -> array}
    this.events = [];
    this.lastEvent = 0;
  }

  // take adds a document's seconds behind those that are there.
  take(doc) {
    const last = this.times.at(-1);
    if (doc.times.length && last !== undefined && doc.times[0] <= last) {
      this.times = []; this.rows.clear(); // the wall clock went back
    }
    const from = this.times.length;
    const at = this.addTimes(doc);
    for (const i of doc.interfaces) this.addRow(i, doc, at, from);
    for (const row of this.rows.values()) this.fill(row, this.times.length);
    for (const e of doc.events) if (e.seq > this.lastEvent) { this.events.push(e); this.lastEvent = e.seq; }
    this.events.splice(0, Math.max(0, this.events.length - 512));
    this.trim();
    this.head = { ...doc, times: null, interfaces: null, events: null };
  }

  // addTimes returns where each of the document's seconds has its place.
  addTimes(doc) {
    const at = [];
    for (const t of doc.times) {
      const last = this.times.at(-1);
      if (last !== undefined && t <= last) { at.push(-1); continue; }
      if (last !== undefined && t - last > doc.step * 1.5) this.times.push(last + doc.step);
      at.push(this.times.length);
      this.times.push(t);
    }
    return at;
  }

  addRow(i, doc, at, from) {
    const key = i.mac + " " + i.bus_info;
    let row = this.rows.get(key);
    if (!row) {
      row = { key, shown: true, info: null, states: new Array(from).fill("."), values: new Map() };
      this.rows.set(key, row);
    }
    row.info = { ...i, states: null };
    this.fill(row, this.times.length);
    for (const a of i.allowances ?? []) {
      if (!row.values.has(a.name)) row.values.set(a.name, new Array(this.times.length).fill(null));
    }
    at.forEach((place, n) => {
      if (place < 0) return;
      row.states[place] = i.states[n];
      for (const a of i.allowances ?? []) row.values.get(a.name)[place] = a.values[n];
    });
  }

  fill(row, length) {
    while (row.states.length < length) row.states.push(".");
    for (const v of row.values.values()) while (v.length < length) v.push(null);
  }

  trim() {
    const over = this.times.length - this.limit;
    if (over <= 0) return;
    this.times.splice(0, over);
    for (const [key, row] of this.rows) {
      row.states.splice(0, over);
      for (const v of row.values.values()) v.splice(0, over);
      if (row.info.left && row.states.every((s) => s === ".")) this.rows.delete(key);
    }
  }

  now() { return this.times.at(-1) ?? 0; }

  list() { return [...this.rows.values()]; }

  // sum says what one allowance did between two times, over the interfaces that
  // are shown: the newest second, the worst, all of it, and seconds that hurt.
  sum(name, from, to) {
    const s = { known: false, now: null, worst: 0, worstAt: 0, worstOf: null, total: 0, hurt: 0, nowOf: null };
    const rows = this.list().filter((r) => r.shown && r.values.has(name));
    s.known = rows.length > 0;
    for (let n = this.times.length - 1; n >= 0 && this.times[n] >= from; n--) {
      if (this.times[n] > to) continue;
      let second = null, most = null;
      for (const r of rows) {
        const v = r.values.get(name)[n];
        if (v === null) continue;
        second = (second ?? 0) + v;
        if (!most || v > most.v) most = { v, row: r };
      }
      if (s.now === null && second !== null) { s.now = second; s.nowOf = most?.row ?? null; }
      if (second > 0) s.hurt++;
      s.total += second ?? 0;
      if (second > s.worst) { s.worst = second; s.worstAt = this.times[n]; s.worstOf = most.row; }
    }
    return s;
  }

  // least is the smallest level of a gauge in each second: of several interfaces
  // the smallest counts.
  least(name, from, to) {
    const rows = this.list().filter((r) => r.shown && r.values.has(name));
    let now = null, worst = null, worstAt = 0;
    for (let n = this.times.length - 1; n >= 0 && this.times[n] >= from; n--) {
      if (this.times[n] > to) continue;
      for (const r of rows) {
        const v = r.values.get(name)[n];
        if (v === null) continue;
        if (worst === null || v < worst) { worst = v; worstAt = this.times[n]; }
      }
      if (now === null) {
        const levels = rows.map((r) => r.values.get(name)[n]).filter((v) => v !== null);
        if (levels.length) now = Math.min(...levels);
      }
    }
    return { known: rows.length > 0, now, worst, worstAt };
  }
}
