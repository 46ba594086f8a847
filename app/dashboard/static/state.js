// The state of the view, as the address bar holds it. Pure: no page, no clock.

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

// The widths of windows that a chart may have, as durations in ISO 8601.
export const STEPS = {
  PT1M: { ms: MINUTE, label: "1 minute" },
  PT5M: { ms: 5 * MINUTE, label: "5 minutes" },
  PT15M: { ms: 15 * MINUTE, label: "15 minutes" },
  PT1H: { ms: HOUR, label: "1 hour" },
  PT6H: { ms: 6 * HOUR, label: "6 hours" },
  P1D: { ms: DAY, label: "1 day" },
};

// The finest windows come first: some 60 to 170 of them fill a span.
export const SPANS = {
  PT15M: { ms: 15 * MINUTE, steps: ["PT1M", "PT5M"], label: "15 min", words: "15 minutes" },
  PT1H: { ms: HOUR, steps: ["PT1M", "PT5M", "PT15M"], label: "1 h", words: "hour" },
  PT6H: { ms: 6 * HOUR, steps: ["PT5M", "PT15M", "PT1H"], label: "6 h", words: "6 hours" },
  P1D: { ms: DAY, steps: ["PT15M", "PT1H", "PT6H"], label: "24 h", words: "24 hours" },
  P7D: { ms: 7 * DAY, steps: ["PT1H", "PT6H", "P1D"], label: "7 d", words: "7 days" },
  P30D: { ms: 30 * DAY, steps: ["PT6H", "P1D"], label: "30 d", words: "30 days" },
  P90D: { ms: 90 * DAY, steps: ["P1D"], label: "90 d", words: "90 days" },
};

const FEW_CLICKS = 5; // a window with fewer has an interval that is wider than its rate

export const VIEWS = {
  overview: "Overview",
  items: "Items",
  positions: "Positions",
  variants: "Variants",
  experiments: "Experiments",
  visitor: "Visitor",
  health: "Health",
};

/** Whether the numbers of a view are those of the span that was chosen. */
export const hasSpan = (view) => !["experiments", "visitor", "health"].includes(view);

// What an experiment compares: `value` over `weight` of each user.
export const METRICS = {
  ctr_rendered: { label: "CTR of items", value: "Clicked", weight: "Shown" },
  ctr_calls: { label: "CTR of lists", value: "Clicked lists", weight: "Lists" },
  conversion_per_click: { label: "Conversion of clicks", value: "Bought", weight: "Clicked" },
  revenue_per_call: { label: "Revenue per list", value: "Revenue", weight: "Lists" },
};

export const MAX_LINES = 6;

const DEFAULTS = {
  view: "overview",
  customer: null,
  scenario: null, // null: all scenarios
  span: "P1D",
  step: null, // null: as fine as the clicks allow
  until: null, // null: now, and the numbers move
  compare: false,
  utc: false,
  lines: [], // the scenarios in the chart; none: those with the most showings
  images: false, // items, or each image of an item apart
  experiment: null, // null: the list of experiments
  metric: null, // null: the one that was declared
  currency: null, // of revenue; null: the customer's
};

/** Return the state that a hash describes. What it does not say, or says wrongly, has its default. */
export function readState(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { ...DEFAULTS, customer: given.get("customer"), scenario: given.get("scenario"), experiment: given.get("experiment") };
  if (Object.hasOwn(VIEWS, given.get("view") ?? "")) state.view = given.get("view");
  if (Object.hasOwn(SPANS, given.get("span") ?? "")) state.span = given.get("span");
  if (SPANS[state.span].steps.includes(given.get("step"))) state.step = given.get("step");
  const until = Date.parse(given.get("until") ?? "");
  if (until > 0) state.until = Math.ceil(until / MINUTE) * MINUTE;
  state.compare = given.get("compare") === "1";
  state.utc = given.get("tz") === "utc";
  state.lines = [...new Set(given.getAll("line"))].slice(0, MAX_LINES);
  state.images = given.get("images") === "1";
  if (Object.hasOwn(METRICS, given.get("metric") ?? "")) state.metric = given.get("metric");
  if (/^[A-Z]{3}$/.test(given.get("currency") ?? "")) state.currency = given.get("currency");
  return state;
}

/** Return the hash of a state. Defaults are left out, so that an address stays short. */
export function writeState(state) {
  const hash = new URLSearchParams();
  if (state.view !== DEFAULTS.view) hash.set("view", state.view);
  if (state.customer !== null) hash.set("customer", state.customer);
  if (state.scenario !== null) hash.set("scenario", state.scenario);
  if (state.span !== DEFAULTS.span) hash.set("span", state.span);
  if (SPANS[state.span].steps.includes(state.step)) hash.set("step", state.step);
  if (state.until !== null) hash.set("until", new Date(state.until).toISOString().replace(":00.000Z", "Z"));
  if (state.compare) hash.set("compare", "1");
  if (state.utc) hash.set("tz", "utc");
  for (const line of state.lines) hash.append("line", line);
  if (state.images) hash.set("images", "1");
  for (const name of ["experiment", "metric", "currency"]) if (state[name] !== DEFAULTS[name]) hash.set(name, state[name]);
  return `#${hash}`;
}

/** Return [from, to) of a view. `now_ms` is the server's clock. */
export function bounds(state, now_ms) {
  const to_ms = state.until ?? Math.floor(now_ms / MINUTE) * MINUTE + MINUTE;
  return [to_ms - SPANS[state.span].ms, to_ms];
}

/** Return [from, to) widened to whole windows, as an answer with such windows covers it. */
export function widened([from_ms, to_ms], step) {
  const ms = step === null ? MINUTE : STEPS[step].ms;
  return [Math.floor(from_ms / ms) * ms, Math.ceil(to_ms / ms) * ms];
}

/**
 * Return [from, to) of the span before, as long as what has elapsed of this one.
 * So a half-filled last window is compared with as little of the past.
 */
export function boundsBefore(from_ms, to_ms, now_ms) {
  const elapsed_ms = Math.max(MINUTE, Math.min(to_ms, now_ms) - from_ms);
  return [Math.max(0, Math.floor((from_ms - elapsed_ms) / MINUTE) * MINUTE), from_ms];
}

/** Return the state of a view one span earlier (-1) or later (1). A view that would end in the future ends now. */
export function moved(state, direction, now_ms) {
  const until = (state.until ?? Math.floor(now_ms / MINUTE) * MINUTE) + direction * SPANS[state.span].ms;
  return { ...state, until: until >= now_ms ? null : Math.max(until, SPANS[state.span].ms) };
}

/** Return the smallest span that holds [from, to), or the largest one. */
export function spanFor(length_ms) {
  const names = Object.keys(SPANS);
  return names.find((name) => SPANS[name].ms >= length_ms) ?? names.at(-1);
}

/**
 * Return the finest windows that hold enough clicks to say something, given the clicks of a line in the whole span.
 * `former`: the windows so far, which stay unless there are clearly too many or too few clicks for them.
 */
export function stepFor(span, clicks, former = null) {
  const { ms, steps } = SPANS[span];
  const inWindow = (step) => (clicks * STEPS[step].ms) / ms;
  const enough = (step) => {
    const isFiner = former !== null && steps.indexOf(step) < steps.indexOf(former);
    return step === former ? FEW_CLICKS / 2 : isFiner ? FEW_CLICKS * 2 : FEW_CLICKS;
  };
  return steps.find((step) => inWindow(step) >= enough(step)) ?? steps.at(-1);
}
