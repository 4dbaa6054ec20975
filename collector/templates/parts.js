// Lines on which parts are inspected: counts of each shift, and the parts that did not pass.

const SHOWN = 24; // parts
const TRIES = 6, AGAIN_MS = 2000; // of a picture that the device has yet to give

const share = (part, of) => `${((100 * part) / of).toFixed(part === of ? 0 : 1)} %`;

/** One shift in words: how many parts, the yield, and what people said of the rejects. */
function words(shift) {
  const parts = shift.passed + shift.rejected + shift.review;
  const said = [`${parts} parts`, `yield ${share(shift.passed, parts)}`, `${shift.rejected} rejected`];
  if (shift.review) said.push(`${shift.review} for a person`);
  if (shift.reviewed) {
    said.push(`${share(shift.false_rejects, shift.reviewed)} of ${shift.reviewed} reviewed rejects good`);
  }
  return said.join(" · ");
}

/** The running shift and the one before, for a pipeline's card. */
export function shiftLines(pipeline, element) {
  return (pipeline.shifts ?? []).map((shift) => {
    const start = new Date(shift.began);
    const since = start.toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit" });
    return element("p", "shift", `Shift of ${since}: ${words(shift)}`);
  });
}

async function say(part, verdict, card, element) {
  const body = JSON.stringify({ device: part.device, pipeline: part.pipeline, part: part.part, verdict });
  const headers = { "content-type": "application/json" };
  const answer = await fetch("/api/review", { method: "POST", headers, body }).catch(() => null);
  const found = await answer?.json().catch(() => null);
  const text = answer?.status === 202 ? `${verdict}: told ${part.device}` : found?.error ?? "not told";
  card.querySelector(".verdict").replaceChildren(element("span", "mark", text));
}

/** One part: its picture beside its heat map, why, and two buttons for who has looked at it. */
function partCard(part, { element, format }) {
  const card = element("article", "part");
  if (part.evidence) {
    const picture = element("img", "");
    picture.src = `/api/evidence/${part.evidence}/picture`;
    picture.alt = `part ${part.part}, and where on it how much was found`;
    picture.loading = "lazy";
    let tries = 0;
    picture.addEventListener("error", () => {
      if (picture.isConnected && (tries += 1) < TRIES) {
        setTimeout(() => { picture.src = `/api/evidence/${part.evidence}/picture?${tries}`; }, tries * AGAIN_MS);
      }
    });
    card.append(picture);
  }
  const sizes = Object.entries(part.sizes).map(([name, size]) => `${name} ${format.score(size)}`);
  const verdict = element("p", "verdict");
  if (part.verdict) {
    verdict.append(element("span", `pill ${part.verdict === "good" ? "good" : "bad"}`, `a person: ${part.verdict}`));
  } else {
    for (const word of ["good", "defect"]) {
      const button = element("button", "", word);
      button.addEventListener("click", () => say(part, word, card, element));
      verdict.append(button, " ");
    }
  }
  card.append(
    element("p", "title",
      element("span", `pill ${part.label === "review" ? "warn" : "bad"}`, part.label),
      element("span", "", ` part ${part.part}, ${part.device} / ${part.pipeline}, ${format.clock(part.at_ns)}`)),
    element("p", "why", [part.reason, ...sizes].filter(Boolean).join(" · ")),
    verdict,
  );
  return card;
}

let shown = ""; // what is there already; drawn anew, a picture would be asked for again

/** The latest parts that did not pass. */
export function drawParts(parts, section, tools) {
  section.hidden = parts.length === 0;
  const now = JSON.stringify(parts.slice(0, SHOWN).map((part) => [part.n, part.verdict]));
  if (now === shown) return;
  shown = now;
  section.querySelector(".parts").replaceChildren(
    ...parts.slice(0, SHOWN).map((part) => partCard(part, tools)));
}
