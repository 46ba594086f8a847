// Windows of answers: sums, and what tables and charts are made of.

import assert from "node:assert/strict";
import { test } from "node:test";

import { byScenario, byVariant, comparing, corrections, funnel, grid, itemRows, largest, lineOf, places, topOf, total, volumes } from "../../../../../app/dashboard/static/windows.js";

const window = (scenario, start_ms, rendered, clicked, more = {}) => ({
  scenario,
  start_ms,
  rendered,
  attributed_clicks: clicked,
  clicks: clicked,
  revenue: {},
  ctr_rendered: rendered ? { value: clicked / rendered, low: clicked / rendered / 2, high: (clicked / rendered) * 1.5 } : { value: null, low: null, high: null, reason: "rendered is 0" },
  final: true,
  revision: 0,
  ...more,
});

test("windows of a scenario are added up, with a rate of the sums", () => {
  const [men, women] = byScenario([
    window("men", 0, 100, 1, { revenue: { EUR: "0.10" } }),
    window("women", 0, 10, 5),
    window("men", 60, 300, 3, { revenue: { EUR: "0.20", USD: "1" }, final: false, revision: 2 }),
  ]);
  assert.deepEqual([men.rendered, men.attributed_clicks, men.ctr.value, men.revenue, men.final, men.revision], [400, 4, 0.01, { EUR: "0.30", USD: "1" }, false, 2]);
  assert.equal(women.ctr.value, 0.5);
});

test("names of objects' own parts are names like others", () => {
  const rows = byScenario(["constructor", "__proto__", "toString"].map((name) => window(name, 0, 1, 0)));
  assert.deepEqual(rows.map((row) => row.scenario), ["constructor", "__proto__", "toString"]);
});

test("nothing adds up to nothing", () => {
  assert.equal(total([]).rendered, 0);
  assert.equal(total([]).ctr.value, null);
});

test("a variant without a name is one of its own", () => {
  const rows = byVariant([window("a", 0, 1, 0, { variant: null }), window("a", 0, 2, 0, { variant: "null" }), window("a", 1, 4, 0, { variant: null })]);
  assert.deepEqual(rows.map((row) => [row.variant, row.rendered]), [[null, 5], ["null", 2]]);
});

test("items keep the order of the answer, and what is beyond the bound is apart", () => {
  const one = (scenario, item, rendered, clicked, more = {}) => window(scenario, 0, rendered, clicked, { item, ...more });
  const { rows, others } = itemRows([one("b", "1/9", 10, 5), one("a", null, 70, 7), one("a", "1/9", 10, 1), one("b", null, 30, 3)]);
  assert.deepEqual(rows.map((row) => [row.scenario, row.item, row.image, row.rendered]), [["b", "1/9", null, 10], ["a", "1/9", null, 10]]);
  assert.deepEqual([others.item, others.rendered, others.ctr.value], [null, 100, 0.1]);
  assert.equal(itemRows([one("a", "1/9", 1, 0)]).others, null);
});

test("an item without an image is a row of its own", () => {
  const images = [null, "null", "https://images.example/1.jpg"].map((image) => window("a", 0, 1, 0, { item: "1/9", image }));
  assert.deepEqual(itemRows(images).rows.map((row) => row.image), [null, "null", "https://images.example/1.jpg"]);
});

test("the largest scenarios come first", () => {
  const rows = byScenario([window("b", 0, 5, 0), window("c", 0, 9, 0), window("a", 0, 5, 0)]);
  assert.deepEqual(largest(rows, 2), ["c", "a"]);
});

test("rows without a value come last, whichever way the others go", () => {
  const rows = [{ key: "x", n: null }, { key: "y", n: 1 }, { key: "z", n: 2 }];
  const order = (isDescending) => [...rows].sort(comparing((row) => row.n, isDescending)).map((row) => row.key).join("");
  assert.equal(order(false), "yzx");
  assert.equal(order(true), "zyx");
});

test("names with numbers are ordered by the numbers", () => {
  const rows = ["list-10", "list-9"].map((key) => ({ key }));
  assert.deepEqual(rows.sort(comparing((row) => row.key, false)).map((row) => row.key), ["list-9", "list-10"]);
});

test("the grid has one start for each window, and is bounded", () => {
  assert.deepEqual(grid(0, 180, 60), [0, 60, 120]);
  assert.deepEqual(grid(0, 150, 60), [0, 60, 120]);
  assert.equal(grid(0, 1e12, 1).length, 2000);
});

test("a line is dashed where it meets a window that is not final, and solid elsewhere", () => {
  const windows = [window("a", 0, 10, 1), window("a", 1, 10, 2), window("a", 2, 10, 3, { final: false }), window("a", 4, 10, 4)];
  const line = lineOf([0, 1, 2, 3, 4], windows);
  assert.deepEqual(line.done, [0.1, 0.2, null, null, 0.4]);
  assert.deepEqual(line.open, [null, 0.2, 0.3, null, null]);
  assert.equal(line.windows[3], null);
});

test("a window without showings leaves a gap, not a zero", () => {
  assert.deepEqual(lineOf([0], [window("a", 0, 0, 0)]).done, [null]);
});

test("the axis has room for the values, and not for the widest interval", () => {
  const wide = window("a", 0, 1, 0, { ctr_rendered: { value: 0, low: 0, high: 0.8 } });
  const top = topOf([lineOf([0, 1], [wide, window("a", 1, 1000, 20)])]);
  assert.ok(top >= 0.02 && top < 0.06, String(top));
  assert.equal(topOf([lineOf([0], [wide])]), 0.8);
  assert.ok(topOf([]) > 0);
});

test("volumes add up all scenarios of a start", () => {
  const sums = volumes([0, 1], [window("a", 0, 3, 1), window("b", 0, 4, 1, { final: false })]);
  assert.deepEqual([sums[0].rendered, sums[0].final, sums[1]], [7, false, null]);
});

test("places are ordered by number, and what has none comes last", () => {
  const { rows, ranks, at } = places([
    window("a", 0, 1, 0, { row: 1, rank: 10 }),
    window("a", 0, 2, 0, { row: 0, rank: 9, calls: null }),
    window("b", 0, 4, 0, { row: 0, rank: 9 }),
    window("a", 0, 8, 0, { row: null, rank: null }),
    window("a", 0, 0, 0, { row: 7, rank: null, clicks: 3 }),
  ]);
  assert.deepEqual([rows, ranks], [[0, 1, null], [9, 10, null]]);
  assert.equal(at.get("0 9").rendered, 6);
  assert.equal(at.get("null null").rendered, 8);
});

test("a correction is a window that was there with a smaller revision", () => {
  const before = [window("a", 0, 10, 1), window("a", 1, 10, 1, { revision: 1 })];
  const after = [window("a", 0, 10, 2, { revision: 1 }), window("a", 1, 10, 1, { revision: 1 }), window("a", 2, 10, 1, { revision: 3 })];
  assert.deepEqual(corrections(before, after).map((one) => one.start_ms), [0]);
});

test("the funnel leaves out views that nobody sends", () => {
  const sums = { rendered: 100, viewed: 0, attributed_clicks: 10, basket: 5, purchases: 0 };
  assert.deepEqual(funnel(sums).map((step) => [step.name, step.ofFirst, step.ofBefore]), [["shown", 1, null], ["clicked", 0.1, 0.1], ["basket", 0.05, 0.5], ["bought", 0, 0]]);
  assert.deepEqual(funnel({ ...sums, viewed: 50 })[2].ofBefore, 0.2);
  assert.deepEqual(funnel({ ...sums, rendered: 0, attributed_clicks: 0, basket: 0 }).map((step) => step.ofBefore), [null, null, null, null]);
});
