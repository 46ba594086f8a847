// The parts of an experiment's answer.

import assert from "node:assert/strict";
import { test } from "node:test";

import { liftRange, liftsOf, partsOf, timeRange } from "../../../../../app/dashboard/static/sequences.js";

const step = (end_ms, lifts) => ({ end_ms, differences: Object.entries(lifts).map(([name, lift]) => ({ name, lift })) });
const lift = (value, half) => ({ value, low: value - half, high: value + half });

test("a sentence is cut around names that could disturb it, and nowhere else", () => {
  const left = "\u202egnitsop \u05e9\u05dc\u05d5\u05dd";
  const long = "x".repeat(256);
  assert.deepEqual(partsOf(`${left} is better than a by 12 %; you may stop. ${long} is worse than a.`, ["a", left, long]), [left, " is better than a by 12 %; you may stop. ", long, " is worse than a."]);
  assert.deepEqual(partsOf("b is better than a.", ["a", "b"]), ["b is better than a."]);
  assert.deepEqual(partsOf("", [long]), []);
});

test("a name within another name is not cut out of it", () => {
  const inner = "y".repeat(50);
  const outer = `z${inner}z`;
  assert.deepEqual(partsOf(`${outer} and ${inner}`, [inner, outer]), [outer, " and ", inner]);
});

test("each variant has a lift or null at each step", () => {
  const sequence = [step(1, { b: null }), step(2, { b: lift(0.1, 0.2), c: lift(0, 1) })];
  assert.deepEqual(liftsOf(sequence, 6), [
    { name: "b", lifts: [null, lift(0.1, 0.2)] },
    { name: "c", lifts: [null, lift(0, 1)] },
  ]);
  assert.deepEqual(liftsOf(sequence, 1).map(({ name }) => name), ["b"]);
  assert.deepEqual(liftsOf([], 6), []);
});

test("the axis of times begins a step before the first end, also with one step", () => {
  assert.deepEqual(timeRange([1000, 2000, 3000]), [0, 3030]);
  assert.deepEqual(timeRange([7_200_000]), [3_600_000, 7_236_000]);
});

test("the axis of lifts holds zero and the later half, but not the wide bands of the first users", () => {
  const [bottom, top] = liftRange([{ name: "b", lifts: [null, lift(3, 9), lift(0.5, 2), lift(0.2, 0.1), lift(0.2, 0.05)] }]);
  assert.ok(bottom < 0 && bottom > -0.1, String(bottom));
  assert.ok(top > 0.3 && top < 0.4, String(top));
  const [low, high] = liftRange([{ name: "b", lifts: [null] }]);
  assert.ok(low < 0 && high > 0);
});
