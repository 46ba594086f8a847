// The windows of CTR answers, added up and laid out for tables and charts. Pure: no page, no clock.

import { addDecimals, wilson } from "./numbers.js";

const COUNTERS = ["calls", "rendered", "viewed", "clicks", "attributed_clicks", "consumed", "basket", "purchases", "clicked_calls", "unlabelled_impressions"];
export const NO_NAME = "–";

/** Return sums without any event. */
function nothing() {
  return { ...Object.fromEntries(COUNTERS.map((name) => [name, 0])), revenue: {}, final: true, revision: 0 };
}

/** Add the counters of a window to sums, in place. Counters that the window does not have stay as they are. */
function add(sums, window) {
  for (const name of COUNTERS) sums[name] += window[name] ?? 0;
  for (const [currency, amount] of Object.entries(window.revenue ?? {})) {
    sums.revenue[currency] = addDecimals(sums.revenue[currency] ?? "0", String(amount));
  }
  sums.final &&= window.final !== false;
  sums.revision += window.revision ?? 0;
}

/** Return the click-through rate of counters, with its interval. */
export function rateOf(sums) {
  if (!sums.rendered) return { value: null, low: null, high: null };
  const [low, high] = wilson(sums.attributed_clicks, sums.rendered);
  return { value: sums.attributed_clicks / sums.rendered, low, high };
}

/** Return one sum for each value of `keyOf`, in order of appearance, with the fields that `fieldsOf` takes from its first window. */
export function sumBy(windows, keyOf, fieldsOf) {
  const sums = new Map();
  for (const window of windows) {
    const key = keyOf(window);
    let sum = sums.get(key);
    if (sum === undefined) sums.set(key, (sum = { key, ...fieldsOf(window), ...nothing() }));
    add(sum, window);
  }
  const rows = [...sums.values()];
  for (const row of rows) row.ctr = rateOf(row);
  return rows;
}

/** Return the sum of all windows. */
export function total(windows) {
  return sumBy(windows, () => "", () => ({}))[0] ?? { key: "", ...nothing(), ctr: rateOf(nothing()) };
}

export const byScenario = (windows) =>
  sumBy(windows, (window) => window.scenario, (window) => ({ scenario: window.scenario }));

export const byVariant = (windows) =>
  sumBy(
    windows,
    (window) => JSON.stringify([window.scenario, window.variant]),
    (window) => ({ scenario: window.scenario, variant: window.variant }),
  );

/**
 * Return the rows of an answer by item, in its order, and apart from them the sum of the items that are not counted one by one:
 * null if there are none.
 */
export function itemRows(windows) {
  const keyOf = ({ scenario, item, image }) => JSON.stringify([scenario, item, image ?? null]);
  const rows = sumBy(
    windows.filter((window) => window.item !== null),
    keyOf,
    ({ scenario, item, image }) => ({ scenario, item, image: image ?? null }),
  );
  const rest = windows.filter((window) => window.item === null);
  return { rows, others: rest.length ? { ...total(rest), key: "others", item: null } : null };
}

/** Return the names of the scenarios with the most showings. */
export function largest(rows, most) {
  return [...rows].sort(comparing((row) => row.rendered, true)).slice(0, most).map((row) => row.scenario);
}

/** Return a comparison by a value that may be null; nulls come last in both directions. Equal ones are ordered by key. */
export function comparing(valueOf, isDescending) {
  return (a, b) => {
    const [x, y] = [valueOf(a), valueOf(b)];
    const [noX, noY] = [x === null || x === undefined, y === null || y === undefined];
    if (noX || noY) return noX - noY || order(a.key, b.key);
    return (isDescending ? -1 : 1) * order(x, y) || order(a.key, b.key);
  };
}

const names = new Intl.Collator(undefined, { numeric: true });

function order(x, y) {
  if (typeof x === "string" && typeof y === "string") return names.compare(x, y) || (x < y ? -1 : x > y ? 1 : 0);
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Return the windows' starts, from the first to the last of a span; with so many steps at most. */
export function grid(from_ms, to_ms, step_ms, most = 2000) {
  const length = Math.min(most, Math.max(0, Math.ceil((to_ms - from_ms) / step_ms)));
  return Array.from({ length }, (_, at) => from_ms + at * step_ms);
}

/**
 * Lay the windows of one scenario out for a chart.
 *
 * `done` is drawn solid and `open` dashed: a piece of the line is dashed if the window at one of its ends is not final.
 * So `open` also has the final windows next to those that are not.
 */
export function lineOf(starts, windows) {
  const at = new Map(windows.map((window) => [window.start_ms, window]));
  const found = starts.map((start) => at.get(start) ?? null);
  const value = (window) => window?.ctr_rendered.value ?? null;
  const isOpen = (window) => window !== null && window !== undefined && !window.final;
  return {
    windows: found,
    low: found.map((window) => window?.ctr_rendered.low ?? null),
    high: found.map((window) => window?.ctr_rendered.high ?? null),
    done: found.map((window) => (isOpen(window) ? null : value(window))),
    open: found.map((window, n) =>
      isOpen(window) || isOpen(found[n - 1]) || isOpen(found[n + 1]) ? value(window) : null,
    ),
  };
}

/** Return sums for each start: all windows of all scenarios that begin there. */
export function volumes(starts, windows) {
  const sums = new Map(sumBy(windows, (window) => window.start_ms, () => ({})).map((row) => [row.key, row]));
  return starts.map((start) => sums.get(start) ?? null);
}

/** Return the greatest value of the rate's axis: room for all values, but not for the widest intervals of nearly empty windows. */
export function topOf(lines) {
  let value = 0;
  let high = 0;
  for (const line of lines) {
    for (const window of line.windows) {
      value = Math.max(value, window?.ctr_rendered.value ?? 0);
      high = Math.max(high, window?.ctr_rendered.high ?? 0);
    }
  }
  if (value === 0) return Math.min(1, high || 0.01);
  return Math.min(1, Math.max(value * 1.15, Math.min(high, value * 2.5)));
}

/** Return the cells of the heat map: sums by row and rank, and the ranks that occur. Showings without a place have null for it. */
export function places(windows) {
  const cells = sumBy(
    windows.filter((window) => window.rendered > 0), // clicks and purchases come without a place, and only showings have a rate
    (window) => `${window.row} ${window.rank}`,
    (window) => ({ row: window.row ?? null, rank: window.rank ?? null }),
  );
  const axis = (name) =>
    [...new Set(cells.map((cell) => cell[name]))].sort((a, b) => (a === null) - (b === null) || a - b);
  return { rows: axis("row"), ranks: axis("rank"), at: new Map(cells.map((cell) => [cell.key, cell])) };
}

/** Return the windows whose revision has grown since an earlier answer, for those that were there. */
export function corrections(before, after) {
  const place = (window) => `${window.start_ms} ${window.scenario}`;
  const known = new Map(before.map((window) => [place(window), window]));
  return after.filter((window) => (known.get(place(window))?.revision ?? window.revision) < window.revision);
}

/** Return the steps from shown to bought, each with its share of the step before and of the first. */
export function funnel(sums) {
  const steps = [
    ["shown", "Shown", sums.rendered],
    ["viewed", "Viewed", sums.viewed],
    ["clicked", "Clicked", sums.attributed_clicks],
    ["basket", "In the basket", sums.basket],
    ["bought", "Bought", sums.purchases],
  ];
  // Many sites do not send `viewed`, and then a share of it says nothing.
  const sent = steps.filter(([name, , number]) => name !== "viewed" || number > 0);
  return sent.map(([name, label, number], at) => ({
    name,
    label,
    number,
    ofFirst: sums.rendered ? number / sums.rendered : null,
    ofBefore: at && sent[at - 1][2] ? number / sent[at - 1][2] : null,
  }));
}
