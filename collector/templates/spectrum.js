// What an alert was raised on: spectra, then and now, and the scores up to it.

import { shape } from "/static/chart.js";

const HEIGHT = 220, TOP = 24, BOTTOM = 170, LEFT = 56, RIGHT = 8;
const MOST_CHANNELS = 4, MOST_DECADES = 5;

// By the names that a workload's `explain` gives its arrays.
const VIEWS = [
  { axis: "frequency_hz", now: "present", healthy: "healthy", title: () => "Spectrum" },
  {
    axis: "envelope_hz", now: "envelope_present", healthy: "envelope_healthy",
    title({ envelope_band_hz: band }) {
      return band ? `Envelope spectrum of ${hertz(band[0])} to ${hertz(band[1])}` : "Envelope spectrum";
    },
  },
];

const digits = (value, count = 3) => String(Number(value.toPrecision(count)));
const hertz = (hz) => (hz >= 1000 ? `${digits(hz / 1000)} kHz` : `${digits(hz, 4)} Hz`);
const amplitude = (value) => (value >= 0.001 && value < 1e4 ? digits(value) : String(Number(value.toPrecision(2)).toExponential()));

/** 1, 2 and 5 of each decade between two values, with the decade they belong to. */
function ticks(low, high, steps = [1, 2, 5]) {
  const found = [];
  for (let decade = Math.floor(Math.log10(low)); 10 ** decade <= high; decade += 1) {
    for (const step of steps) {
      const value = step * 10 ** decade;
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found;
}

/** One point per pixel column: the highest there, so that no line is lost. */
function columns(axis, curve, x) {
  const found = [];
  curve.forEach((value, i) => {
    if (!(axis[i] > 0) || !(value > 0)) return;
    const at = Math.round(x(axis[i]));
    const last = found[found.length - 1];
    if (last?.at !== at) found.push({ at, hz: axis[i], value });
    else if (value > last.value) Object.assign(last, { hz: axis[i], value });
  });
  return found;
}

const drawn = (points, y) => points
  .map((point, i) => `${i ? "L" : "M"}${point.at} ${y(point.value).toFixed(1)}`).join("");

function frame(title, width, xLabel, yLabel) {
  const svg = shape("svg", { class: "spectrum", width, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": title });
  svg.append(shape("text", { class: "heading", x: 0, y: 12 }, title));
  svg.append(shape("text", { x: LEFT, y: HEIGHT - 18 }, xLabel));
  const middle = (TOP + BOTTOM) / 2;
  svg.append(shape("text", { x: 10, y: middle, "text-anchor": "middle", transform: `rotate(-90 10 ${middle})` }, yLabel));
  return svg;
}

function grid(svg, width, xs, ys) {
  for (const { at, text } of xs) {
    svg.append(shape("line", { class: "grid", x1: at, x2: at, y1: TOP, y2: BOTTOM }));
    svg.append(shape("text", { x: at, y: BOTTOM + 14, "text-anchor": "middle" }, text));
  }
  for (const { at, text } of ys) {
    svg.append(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }));
    svg.append(shape("text", { x: LEFT - 5, y: at + 4, "text-anchor": "end" }, text));
  }
}

function legend(svg, width, entries) {
  let at = width - RIGHT;
  for (const { name, text } of entries) {
    svg.append(shape("text", { x: at, y: HEIGHT - 18, "text-anchor": "end" }, text));
    at -= 6 * text.length + 6;
    svg.append(shape("line", { class: name, x1: at - 16, x2: at, y1: HEIGHT - 22, y2: HEIGHT - 22 }));
    at -= 26;
  }
}

/** Both curves of one channel, and what lies under the pointer. */
function spectrum(title, unit, axis, now, healthy, width) {
  const known = axis.filter((hz) => hz > 0);
  // from the third bin: below it there are only the window's edges
  const low = known[Math.min(2, known.length - 1)], high = known[known.length - 1];
  const x = (hz) => LEFT + (Math.log(hz / low) / Math.log(high / low)) * (width - LEFT - RIGHT);
  const shown = (curve) => curve.map((value, i) => (axis[i] >= low ? value : 0));
  const curves = { healthy: healthy ? shown(healthy) : [], now: shown(now) };
  const values = [...curves.healthy, ...curves.now].filter((value) => value > 0);
  if (!values.length || !(high > low)) return null;
  const top = Math.max(...values) * 1.3;
  const bottom = Math.max(Math.min(...values), top / 10 ** MOST_DECADES);
  const y = (value) => BOTTOM - (Math.log(Math.max(value, bottom) / bottom) / Math.log(top / bottom)) * (BOTTOM - TOP);

  const svg = frame(title, width, "frequency, Hz", `amplitude, ${unit.replace("^2", "²") || "sensor's unit"}`);
  const across = ticks(low, high, high / low > 4000 || width < 400 ? [1] : [1, 2, 5]);
  const up = ticks(bottom, top, top / bottom > 100 ? [1] : [1, 2, 5]);
  grid(svg, width,
    across.map((hz) => ({ at: x(hz), text: hz >= 1000 ? `${digits(hz / 1000)}k` : digits(hz) })),
    up.map((value) => ({ at: y(value), text: amplitude(value) })));
  legend(svg, width, [{ name: "now", text: "now" }, ...(healthy ? [{ name: "healthy", text: "healthy, median" }] : [])]);
  const points = { healthy: columns(axis, curves.healthy, x), now: columns(axis, curves.now, x) };
  for (const name of ["healthy", "now"]) svg.append(shape("path", { class: name, d: drawn(points[name], y) }));
  svg.append(pointed(svg, points.now, healthy && axis.map((hz, i) => [hz, healthy[i]]), width));
  return svg;
}

/** A reading under the pointer: frequency, amplitude, and how many times the healthy one it is. */
function pointed(svg, points, healthy, width) {
  const mark = shape("g", { class: "pointed", visibility: "hidden" });
  const bar = shape("line", { y1: TOP, y2: BOTTOM }), text = shape("text", { y: HEIGHT - 4 });
  mark.append(bar, text);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    // the highest close by: nobody can point at one line of a thousand
    const near = points.filter((point) => Math.abs(point.at - at) <= 4);
    if (!near.length) return;
    const found = near.reduce((most, point) => (point.value > most.value ? point : most));
    const before = healthy?.find(([hz]) => hz >= found.hz)?.[1];
    const times = before > 0 ? `, ${digits(found.value / before, 2)} times healthy` : "";
    for (const side of ["x1", "x2"]) bar.setAttribute(side, found.at);
    const isRight = found.at > width / 2;
    text.setAttribute("x", isRight ? width - RIGHT : LEFT);
    text.setAttribute("text-anchor", isRight ? "end" : "start");
    text.textContent = `${digits(found.hz, 4)} Hz: ${amplitude(found.value)}${times}`;
    mark.setAttribute("visibility", "visible");
  });
  svg.addEventListener("pointerleave", () => mark.setAttribute("visibility", "hidden"));
  return mark;
}

/** Scores over the alert's threshold, against the time before it. */
function trend(points, width, duration) {
  if (points.length < 2 || !(points[0][0] < 0)) return null;
  const since_s = -points[0][0];
  const top = Math.max(1.2, ...points.map(([, score]) => score)) * 1.05;
  const x = (s) => LEFT + (1 + s / since_s) * (width - LEFT - RIGHT);
  const y = (score) => BOTTOM - (Math.max(score, 0) / top) * (BOTTOM - TOP);
  const svg = frame("Scores up to the alert", width, "time before the alert", "score over threshold");
  const step = ticks(top / 6, top).find((value) => top / value <= 6);
  grid(svg, width,
    [1, 0.5, 0].map((share) => ({ at: x(-share * since_s), text: share ? duration(share * since_s * 1000) : "0" })),
    Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => ({ at: y(i * step), text: digits(i * step) })));
  svg.append(shape("line", { class: "threshold", x1: LEFT, x2: width - RIGHT, y1: y(1), y2: y(1) }));
  svg.append(shape("path", { class: "now", d: points
    .map(([s, score], i) => `${i ? "L" : "M"}${x(s).toFixed(1)} ${y(score).toFixed(1)}`).join("") }));
  return svg;
}

/** All there is to draw of one evidence, as an array of SVGs, each `width` CSS pixels wide. */
export function pictures(found, width, duration) {
  const svgs = [];
  const channels = Math.min(found.channels, MOST_CHANNELS);
  for (let channel = 0; channel < channels; channel += 1) {
    for (const view of VIEWS) {
      const axis = found.spectra[view.axis], now = found.spectra[view.now]?.[channel];
      if (!axis || !now) continue;
      const title = `${view.title(found.spectra)}${found.channels > 1 ? `, channel ${channel + 1}` : ""}`;
      svgs.push(spectrum(title, found.unit, axis, now, found.spectra[view.healthy]?.[channel], width));
    }
  }
  svgs.push(trend(found.trend, width, duration));
  return svgs.filter(Boolean);
}
