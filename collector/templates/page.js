// The operator's page. It asks the API again whenever the collector says that something changed.
// All text from devices goes through textContent: a label may hold anything.

import { chart } from "/static/chart.js";
import { drawParts, shiftLines } from "/static/parts.js";
import { pictures } from "/static/spectrum.js";

const POINTS = 300, ALERTS = 100;
const AT_LEAST_MS = 1000, AT_MOST_MS = 10000, PATIENCE_MS = 8000;
const EVIDENCE_TRIES = 12; // each waits some seconds at the collector

const byId = (id) => document.getElementById(id);
const scores = new Map(); // "device/pipeline" -> points, oldest first
let alerts = []; // newest first
let devices = [];
let isLive = false;
let ages = []; // [element, alert] of what says how long ago an alert was
const opened = new Map(); // id of an alert -> what is shown of its evidence

const format = {
  score: (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)),
  time: (ns) => new Date(ns / 1e6).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" }),
  clock: (ns) => new Date(ns / 1e6).toLocaleTimeString(),
  duration(ms) {
    if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
    for (const [unit, size] of [["s", 1e3], ["min", 6e4], ["h", 3.6e6], ["d", 8.64e7]]) {
      if (ms < size * (unit === "h" ? 48 : 120)) return `${(ms / size).toFixed(ms < 1e4 ? 1 : 0)} ${unit}`;
    }
    return `${(ms / 8.64e7).toFixed(0)} d`;
  },
  /** Two durations, their unit once where it is the same. */
  durations(one, other) {
    const [first, second] = [this.duration(one), this.duration(other)].map((text) => text.split(" "));
    return `${first[1] === second[1] ? first[0] : first.join(" ")} · ${second.join(" ")}`;
  },
  ago: (ns, now_ns) => (now_ns - ns < 2e9 ? "just now" : `${format.duration((now_ns - ns) / 1e6)} ago`),
};

function element(name, className, ...content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...content.filter((part) => part !== null)); // strings become text nodes
  return made;
}

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok && answer.status !== 503) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// -- what is drawn ---------------------------------------------------------------------------------

const STATES = { online: "good", silent: "warn", stopped: "", offline: "bad", unknown: "" };

const isRaised = (pipeline) => pipeline.alarm?.state === "raised";
const isNoticed = (pipeline) => pipeline.notice?.state === "raised";
const isInAlarm = (device) => device.pipelines.some(isRaised);
const isNoticedIn = (device) => device.pipelines.some(isNoticed);
const isInTrouble = (device) => device.pipelines.some((each) => each.sensor !== null);

function deviceCard(device, now_ns, width) {
  const facts = element("ul", "facts");
  const fact = (text, tone = "") => facts.append(element("li", tone, text));
  if (device.outbox) fact(`${device.outbox.rows} queued`, device.outbox.rows > 100 ? "warn" : "");
  if (device.outbox?.held) fact(`${device.outbox.held} not on its disk`, "bad");
  if (device.outbox?.dead) fact(`${device.outbox.dead} dead letters`, "bad");
  if (device.cpu_temperature_c !== null) fact(`${device.cpu_temperature_c.toFixed(0)} °C`);
  for (const cause of device.throttled ?? []) fact(cause, "warn");
  if (device.clock_synced !== null) {
    fact(device.clock_synced ? "clock synced" : "clock not synced", device.clock_synced ? "" : "warn");
  }
  if (device.version) fact(`version ${device.version}`);
  fact(device.seen_ns === null ? "not heard yet" : `heard ${format.ago(device.seen_ns, now_ns)}`);
  return element(
    "article",
    isInAlarm(device) ? "device alarm"
      : isInTrouble(device) || isNoticedIn(device) ? "device doubt" : "device",
    element("div", "title",
      element("span", `dot ${STATES[device.state]}`),
      element("h3", "", device.device),
      element("span", `pill ${STATES[device.state]}`, device.state)),
    facts,
    ...device.pipelines.map((each) => pipelinePart(device, each, width)),
  );
}

function pipelinePart(device, pipeline, width) {
  const isWatched = device.state === "online" && pipeline.state === "watching";
  const pills = [];
  const pill = (text, tone) => pills.push(element("span", `pill ${tone}`, text));
  if (pipeline.sensor !== null) pill(`sensor: ${pipeline.sensor}`, "warn");
  if (isNoticed(pipeline)) pill(`notice: ${named(pipeline.notice)}`, "warn");
  if (isRaised(pipeline)) pill(`alarm: ${named(pipeline.alarm)}`, "bad");
  if (!pills.length) pill(pipeline.state ?? "quiet", isWatched ? "good" : "");
  const part = element("div", "pipeline",
    element("div", "title", element("h4", "", pipeline.pipeline), ...pills));
  const warning = (text) => part.append(element("p", "warning", text));
  if (pipeline.sensor !== null) warning("Its sensor is not believed: nothing is judged until it is.");
  if (pipeline.bundle_refused) warning(`A newer bundle was refused: ${pipeline.bundle_refused}`);
  const raised = [isRaised(pipeline) && pipeline.alarm, isNoticed(pipeline) && pipeline.notice].find(Boolean);
  if (raised?.text) part.append(element("p", "why", raised.text));
  if (pipeline.state === "learning") {
    const bar = element("progress", "");
    bar.max = Math.max(pipeline.learn_windows, 1);
    bar.value = pipeline.learned_windows;
    bar.setAttribute("aria-label", "learned windows");
    part.append(bar);
  }
  part.append(...shiftLines(pipeline, element));
  const points = scores.get(`${device.device}/${pipeline.pipeline}`);
  if (points?.length > 1) {
    const own = alerts.filter((a) => a.kind === "alert"
      && a.device === device.device && a.pipeline === pipeline.pipeline);
    part.append(chart(points, own, width, format));
  }
  if (pipeline.workload) {
    const facts = element("ul", "facts");
    const fact = (text, tone = "") => facts.append(element("li", tone, text));
    if (pipeline.state === "learning") {
      fact(`learned ${pipeline.learned_windows} of ${pipeline.learn_windows} windows`);
    }
    const dropped = Object.values(pipeline.dropped).reduce((sum, each) => sum + each, 0);
    const latency = Object.values(pipeline.latency_ms).reduce((sum, each) => sum + each, 0);
    fact(`${pipeline.windows_per_s.toFixed(1)} windows/s`);
    fact(`${format.duration(latency)} per window`);
    if (dropped) fact(`${dropped} dropped`, "warn");
    if (pipeline.evidence_lost) fact(`alerts without evidence: ${pipeline.evidence_lost}`, "warn");
    fact(`${pipeline.workload}, model ${pipeline.model_id}`);
    part.append(facts);
  }
  return part;
}

// Who dated it, where it was not the device's own synchronized clock.
const DATED = { boot: "dated by a later message", collector: "time of arrival" };

const named = (alert) => (alert.who ? `${alert.label}: ${alert.who}` : alert.label);

const ZONES = { A: "good", B: "good", C: "warn", D: "bad" };

/** Of people: whether both speak of the same outcome of the same stay. */
const isSameVisit = (one, other) => one.visit === other.visit && (!one.visit || one.label === other.label);

/** The alert that raised what this one clears, if it is listed. */
const raisedBefore = (alert) => alerts.find((each) => each.kind === alert.kind && each.state === "raised"
  && each.device === alert.device && each.pipeline === alert.pipeline && each.level === alert.level
  && isSameVisit(each, alert)
  && (each.era < alert.era || (each.era === alert.era && each.seq < alert.seq)));

/** How long ago it was raised, and whether it still is; of one that is cleared, how long it lasted. */
function age(alert, now_ns) {
  if (alert.state === "cleared") {
    const raised = raisedBefore(alert);
    return raised && alert.at_ns > raised.at_ns ? `after ${format.duration((alert.at_ns - raised.at_ns) / 1e6)}` : "";
  }
  const pipeline = devices.find((each) => each.device === alert.device)
    ?.pipelines.find((each) => each.pipeline === alert.pipeline);
  const isStill = alert.visit
    ? !alerts.some((each) => each.state === "cleared" && each.device === alert.device && isSameVisit(each, alert))
    : pipeline?.[alert.level]?.n === alert.n;
  return `${format.ago(alert.at_ns, now_ns)}${isStill ? ", still raised" : ""}`;
}

/** What the alert was raised on: fetched from the device where need be, while the reader waits. */
async function openEvidence(alert, panel) {
  const say = (text) => panel.replaceChildren(element("p", "mark", text));
  say(`Asking ${alert.device} …`);
  for (let tries = 0; tries < EVIDENCE_TRIES && opened.get(alert.id) === panel; tries += 1) {
    const answer = await fetch(`/api/evidence/${alert.evidence}/spectra`).catch(() => null);
    const found = await answer?.json().catch(() => null);
    if (answer?.status === 200) return drawEvidence(alert, panel, found);
    if (answer?.status !== 202) return say(found?.error ?? "The collector does not answer.");
    say(`Asking ${found.device} … ${found.of ? `${found.parts} of ${found.of} parts` : "no answer yet"}`);
  }
  return say(`${alert.device} does not answer. Open it again when the device is online.`);
}

function drawEvidence(alert, panel, found) {
  const half = (panel.clientWidth - 24) / 2; // two beside each other where they are still legible
  const width = Math.round(Math.min(Math.max(half >= 380 ? half : panel.clientWidth, 280), 560));
  const link = element("a", "", "download");
  link.href = `/api/evidence/${alert.evidence}`;
  const file = [link, ` (.npz, SHA-256 ${alert.evidence.slice(0, 12)}…)`];
  if (found.picture) {
    const picture = element("img", "look");
    picture.src = `/api/evidence/${alert.evidence}/picture`;
    const isPart = alert.label === "reject";
    picture.alt = isPart ? "the part, and where on it how much was found" : `the best look at the person: ${named(alert)}`;
    const words = isPart ? "The part, and where on it how much was found · " : `The best look up to picture ${found.window} · `;
    panel.replaceChildren(element("p", "mark", words, ...file), picture);
    return;
  }
  const seconds = format.duration((1000 * found.samples) / found.rate_hz);
  const channels = found.channels === 1 ? "1 channel" : `${found.channels} channels`;
  const rate = `${Number((found.rate_hz / 1000).toPrecision(4))} kHz`;
  panel.replaceChildren(
    element("p", "mark", `Window ${found.window}: ${seconds} at ${rate}, ${channels} · `, ...file),
    element("div", "spectra", ...pictures(found, width, format.duration)));
}

/** The row below an alert's own: its words, its severity, and on request its evidence. */
function whyRow(alert) {
  const line = element("p", "why", alert.text);
  if (alert.severity) {
    const pill = element("span", `pill ${ZONES[alert.severity]}`, `zone ${alert.severity}`);
    pill.title = "velocity zone of ISO 20816";
    line.prepend(pill, " ");
  }
  const cell = element("td", "", line);
  cell.colSpan = 6;
  if (alert.evidence) {
    const button = element("button", "", "Evidence");
    const show = () => {
      const panel = opened.get(alert.id);
      button.setAttribute("aria-expanded", String(Boolean(panel)));
      button.textContent = panel ? "Hide evidence" : "Evidence";
      if (panel) cell.append(panel);
    };
    button.addEventListener("click", () => {
      if (opened.has(alert.id)) {
        opened.get(alert.id).remove();
        opened.delete(alert.id);
      } else {
        const panel = element("div", "evidence");
        opened.set(alert.id, panel);
        cell.append(panel);
        openEvidence(alert, panel);
      }
      show();
    });
    line.append(" ", button);
    show();
  }
  return element("tr", "words", cell);
}

function alertRow(alert) {
  const isSensor = alert.kind === "sensor";
  const time = element("time", "", format.time(alert.at_ns));
  time.dateTime = new Date(alert.at_ns / 1e6).toISOString();
  const marks = [DATED[alert.dated_by], alert.replayed ? "replayed" : null]
    .filter(Boolean).map((text) => element("span", "mark", text));
  const tone = alert.state === "cleared" ? "good" : isSensor || alert.level === "notice" ? "warn" : "bad";
  const numbers = isSensor
    ? `${alert.refused} windows refused, ${format.duration(1000 * alert.lasted_s)}`
    : `${format.score(alert.score)} / ${format.score(alert.threshold)}`;
  const past = element("span", "mark");
  ages.push([past, alert]);
  return element("tr", alert.kind,
    element("td", "", time, ...marks),
    element("td", "", element("span", `pill ${tone}`, `${isSensor ? "sensor" : alert.level} ${alert.state}`), past),
    element("td", "", `${alert.device} / ${alert.pipeline}`),
    element("td", "", named(alert)),
    element("td", "number", numbers),
    element("td", "number", alert.latency_ms === null ? "–" : format.duration(alert.latency_ms)));
}

function drawDevices(now_ns, leftOut) {
  const grid = byId("devices");
  // The width of a card's inside, from one that is there; the first drawing makes do with a guess.
  const card = grid.querySelector(".pipeline");
  const width = Math.round(card ? card.clientWidth : Math.min(grid.clientWidth, 400) - 34);
  grid.replaceChildren(...devices.map((each) => deviceCard(each, now_ns, Math.max(width, 120))));
  byId("no-devices").hidden = devices.length > 0;
  byId("left-out").hidden = leftOut === 0;
  byId("left-out").textContent = `${leftOut} more, not heard for longer, are not shown.`;
}

function drawAlerts(isNew) {
  byId("alerts").hidden = alerts.length === 0;
  byId("no-alerts").hidden = alerts.length > 0;
  ages = [];
  byId("alerts").tBodies[0].replaceChildren(...alerts.flatMap((alert) =>
    (alert.text || alert.severity || alert.evidence ? [alertRow(alert), whyRow(alert)] : [alertRow(alert)])));
  if (isNew) {
    const newest = alerts[0];
    byId("announce").textContent =
      `${newest.level ?? newest.kind} ${newest.state}: ${named(newest)}, ${newest.device} ${newest.pipeline}`;
  }
}

function drawAges(now_ns) {
  for (const [past, alert] of ages) past.textContent = age(alert, now_ns);
}

function drawSummary(summary) {
  const online = devices.filter((each) => each.state === "online").length;
  const pipelines = devices.flatMap((each) => each.pipelines);
  const alarms = pipelines.filter(isRaised).length;
  const notices = pipelines.filter(isNoticed).length;
  const troubles = pipelines.filter((each) => each.sensor !== null).length;
  const { p50, p99 } = summary.latency_ms.alert;
  const facts = [
    ["devices online", `${online} of ${devices.length}`, ""],
    ["alarms · notices now", `${alarms} · ${notices}`, alarms ? "bad" : notices ? "warn" : ""],
    ["sensors in trouble", troubles, troubles ? "warn" : ""],
    ["alerts stored", summary.alerts, ""],
    ["window to row, 50 % · 99 %",
      p50 === null ? "–" : format.durations(p50, p99), ""],
    ["messages rejected", summary.rejected, ""],
  ];
  byId("summary").replaceChildren(...facts.map(([name, value, tone]) =>
    element("div", "", element("dt", "", name), element("dd", tone, String(value)))));
}

function drawLink(health) {
  const reasons = Object.entries(health?.reasons ?? {});
  const link = byId("link");
  const [text, tone] = !isLive ? ["connection lost", "bad"] : reasons.length ? ["needs attention", "warn"] : ["live", "good"];
  if (link.textContent !== text) link.textContent = text;
  link.className = `pill ${tone}`;
  const why = !isLive
    ? "The collector does not answer. What you see is old; trying again."
    : reasons.map(([part, reason]) => `${part}: ${reason}`).join(" · ");
  const trouble = byId("trouble");
  if (trouble.textContent !== why) trouble.textContent = why;
  trouble.hidden = !why;
}

// -- when it is drawn ------------------------------------------------------------------------------

const newestOf = (rows) => rows.reduce((most, row) => Math.max(most, row.n), 0);
const newestScore = () => Math.max(0, ...[...scores.values()].map(newestOf));

async function refresh() {
  try {
    const knownAlert = newestOf(alerts);
    const [health, summary, fleet, listed, plotted, inspected] = await Promise.all([
      ask("/healthz"), ask("/api/summary"), ask("/api/devices"),
      ask(`/api/alerts?limit=${ALERTS}`), // all of them: a row is dated anew once its device is
      ask(`/api/scores?limit=${POINTS}&since=${newestScore()}`), ask("/api/parts"),
    ]);
    const urgency = (device) => 4 * isInAlarm(device) + 2 * isNoticedIn(device) + isInTrouble(device);
    devices = fleet.devices.sort((a, b) => urgency(b) - urgency(a)); // the rest by name
    const isSame = JSON.stringify(alerts) === JSON.stringify(listed.alerts);
    alerts = listed.alerts;
    for (const { device, pipeline, points } of plotted.series) {
      const key = `${device}/${pipeline}`;
      const all = [...(scores.get(key) ?? []), ...points].slice(-POINTS);
      if (all.length) scores.set(key, all);
    }
    isLive = true;
    drawDevices(fleet.now_ns, fleet.left_out);
    if (!isSame || !alerts.length) drawAlerts(knownAlert > 0 && newestOf(alerts) > knownAlert);
    drawAges(fleet.now_ns);
    drawParts(inspected.parts, byId("parts"), { element, format });
    drawSummary(summary);
    drawLink(health);
  } catch {
    isLive = false;
    drawLink(null);
  }
}

let wake = () => {};

/** Refresh when something changed, at most every second; and every ten seconds, for what ages. */
async function refreshForEver() {
  for (;;) {
    const changed = new Promise((resolve) => { wake = resolve; });
    const waited = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
    await refresh();
    await waited(AT_LEAST_MS);
    await Promise.race([changed, waited(AT_MOST_MS)]);
  }
}

const stream = new EventSource("/api/stream");
stream.addEventListener("change", () => wake());
stream.addEventListener("error", () => { isLive = false; drawLink(null); });
stream.addEventListener("open", () => {
  // Perhaps another collector, with another database: start over.
  alerts = [];
  scores.clear();
  wake();
});
refreshForEver();
