// One pipeline's scores over time, with the threshold they are judged against and the alerts.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 112, TOP = 14, BOTTOM = 94;

export function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

const path = (points) => points
  .map(([x, y, isFirst], i) => `${i === 0 || isFirst ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`)
  .join("");

/** An SVG of `points` ({at_ns, score, threshold}, oldest first), `width` CSS pixels wide. */
export function chart(points, alerts, width, format) {
  const first = points[0], last = points[points.length - 1];
  const highest = Math.max(...points.map((p) => p.score));
  const threshold = Math.max(...points.map((p) => p.threshold));
  // Beyond six thresholds the line is cut: how bad is in the label, when it left is in the picture.
  const top = Math.max(1.25 * threshold, Math.min(1.05 * highest, 6 * threshold)) || 1;
  const span = Math.max(last.at_ns - first.at_ns, 1);
  const x = (at_ns) => ((at_ns - first.at_ns) / span) * (width - 2) + 1;
  const y = (score) => BOTTOM - (Math.min(Math.max(score, 0), top) / top) * (BOTTOM - TOP);

  // A pause is drawn as one: no line joins points that lie much further apart than most.
  const isAfterPause = (i) => i > 0 && points[i].at_ns - points[i - 1].at_ns > (20 * span) / points.length;

  const svg = shape("svg", {
    class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img",
    "aria-label": `${last.label}: now ${format.score(last.score)}, threshold `
      + `${format.score(last.threshold)}, highest shown ${format.score(highest)}`,
  });
  svg.append(shape("line", { class: "axis", x1: 0, x2: width, y1: BOTTOM + 0.5, y2: BOTTOM + 0.5 }));
  svg.append(shape("path", { class: "threshold", d: path(points.map((p) => [x(p.at_ns), y(p.threshold)])) }));
  for (const alert of alerts) {
    if (alert.at_ns < first.at_ns || alert.at_ns > last.at_ns) continue;
    const at = x(alert.at_ns);
    const marker = shape("g", { class: `${alert.level} ${alert.state}` });
    marker.append(shape("line", { x1: at, x2: at, y1: TOP, y2: BOTTOM, "stroke-opacity": 0.45 }));
    marker.append(shape("path", { d: `M${at - 4} ${TOP - 6}h8l-4 6z` }));
    marker.append(shape("title", {}, `${alert.level} ${alert.state} ${format.time(alert.at_ns)}`));
    svg.append(marker);
  }
  svg.append(shape("path", { class: "score", d: path(points.map((p, i) => [x(p.at_ns), y(p.score), isAfterPause(i)])) }));
  const label = `${last.label} ${format.score(last.score)}, threshold ${format.score(last.threshold)}`;
  svg.append(shape("text", { x: 0, y: HEIGHT - 5 }, format.clock(first.at_ns)));
  svg.append(shape("text", { x: width / 2, y: HEIGHT - 5, "text-anchor": "middle" }, label));
  svg.append(shape("text", { x: width, y: HEIGHT - 5, "text-anchor": "end" }, format.clock(last.at_ns)));
  return svg;
}
