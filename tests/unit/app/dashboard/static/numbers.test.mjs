// Numbers as people read them, and the formulas of the page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { addDecimals, bytes, clockIn, difference, duration, lift, money, share, small, wilson } from "../../../../../app/dashboard/static/numbers.js";

const close = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`);

test("the interval is that of the lookups (docs/lookups.md)", () => {
  const [low, high] = wilson(3, 10);
  close(low, 0.1077912674);
  close(high, 0.6032218525);
  const [of, to] = wilson(115, 20_000);
  close(of, 0.004792836464323753);
  close(to, 0.006896991177135669);
});

test("a share at an end of the scale stays within it", () => {
  assert.equal(wilson(0, 5)[0], 0);
  assert.equal(wilson(5, 5)[1], 1);
});

test("there is no interval without a trial, or with more successes than trials", () => {
  assert.deepEqual(wilson(0, 0), [null, null]);
  assert.deepEqual(wilson(3, 2), [null, null]);
});

test("money is added exactly", () => {
  assert.equal(addDecimals("0.1", "0.2"), "0.3");
  assert.equal(addDecimals("9007199254740993.000001", "1"), "9007199254740994.000001");
  assert.equal(addDecimals("-0.5", "0.25"), "-0.25");
  assert.equal(addDecimals("1", "-1.00"), "0.00");
  assert.equal(addDecimals("12", "30"), "42");
});

test("money of a currency that the browser does not know is written as it came", () => {
  assert.equal(money("1.50", "not a currency"), "1.50 not a currency");
  assert.match(money("1.50", "EUR"), /1[.,]50/);
});

// Newcombe (1998), table II, case (a): 56 of 70 and 48 of 80, method 10: 0.0524 to 0.3339.
test("the interval of a difference is the published one", () => {
  const rate = (successes, n) => ({ value: successes / n, low: wilson(successes, n)[0], high: wilson(successes, n)[1] });
  const { by, low, high, isClear } = difference(rate(56, 70), rate(48, 80));
  assert.equal(by.toFixed(4), "0.2000");
  assert.equal(low.toFixed(4), "0.0524");
  assert.equal(high.toFixed(4), "0.3339");
  assert.equal(isClear, true);
});

test("a difference that may be none is not clear", () => {
  const rate = { value: 0.1, low: 0.05, high: 0.2 };
  assert.equal(difference(rate, rate).isClear, false);
  assert.equal(difference(rate, { value: null, low: null, high: null }), null);
  assert.equal(difference(rate, undefined), null);
});

test("a change of nothing is a dash, and a tiny number is not 0", () => {
  assert.equal(lift(null), "–");
  assert.match(lift({ value: 0.12, low: 0.03, high: -0.001 }), /^\+12.?% \(\+3.?% to -0[.,]1.?%\)$/);
  assert.deepEqual([0.00001, 0.043219, null].map(small).map((text) => text.replace(",", ".")), ["< 0.0001", "0.043", "–"]);
});

test("what is not there is a dash", () => {
  assert.equal(share(null), "–");
  assert.equal(duration(undefined), "–");
});

test("a duration has the largest unit that fits", () => {
  assert.deepEqual([500, 90_000, 600_000, 10_800_000, 259_200_000].map(duration).map((text) => text.replace(",", ".")), ["0.5 s", "90 s", "10 min", "3 h", "3 days"]);
});

test("a size has the unit that fits", () => {
  assert.deepEqual([0, 999, 1_500, 2e9].map(bytes).map((text) => text.replace(",", ".")), ["0 B", "999 B", "1.5 kB", "2 GB"]);
});

test("times are in UTC when they say so", () => {
  const clock = clockIn(true);
  assert.match(clock.time(Date.UTC(2026, 0, 1, 23, 5)), /(23|11).05/);
  assert.equal(clock.zone, "UTC");
});
