// How numbers are written, and small help with the document.

export const $ = (id) => document.getElementById(id);

export const count = (v) => (v < 100 && Math.abs(v - Math.round(v)) >= 0.05 ? v.toFixed(1) : Math.round(v).toLocaleString("en"));

export function size(v) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (v < 1024) return `${v.toFixed(unit === "B" || v >= 100 ? 0 : 1)} ${unit}`;
    v /= 1024;
  }
  return `${v.toFixed(1)} GiB`;
}

export function duration(seconds) {
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.1 ? 1 : 0)} ms`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

export const total = (counts) => Object.values(counts ?? {}).reduce((a, b) => a + b, 0);

// element makes one with text and children; whatever a client chose is text,
// never markup.
export function element(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

export function rows(body, pairs) {
  body.replaceChildren(...pairs.map(([head, ...cells]) =>
    element("tr", {}, element("th", { scope: "row" }, head), ...cells.map((c, i) => element("td", i === cells.length - 1 || /^[\d.,]+$/.test(c) ? { class: "n" } : {}, c)))));
}
