// The state of the page and its address.

import assert from "node:assert/strict";
import { test } from "node:test";

import { DAY, HOUR, MINUTE, SPANS, STEPS, VIEWS, bounds, boundsBefore, hasSpan, moved, readState, spanFor, stepFor, widened, writeState } from "../../../../../app/dashboard/static/state.js";

const NOW = Date.UTC(2026, 10, 28, 12, 30, 20);

test("an address gives back the state that it was made of", () => {
  const states = [
    readState(""),
    { ...readState(""), view: "positions", customer: "00000", scenario: "a&b=c #%", span: "P90D" },
    { ...readState(""), scenario: "<script>", lines: ["x", "\u202ey", "🛒"], compare: true, utc: true },
    { ...readState(""), scenario: "", until: Date.UTC(2019, 11, 1) },
    { ...readState(""), view: "items", images: true },
    { ...readState(""), view: "experiments", experiment: "a/b <script>", metric: "revenue_per_call", currency: "CHF" },
    { ...readState(""), view: "experiments", experiment: "" },
  ];
  for (const state of states) assert.deepEqual(readState(writeState(state)), state);
});

test("an address without a state is short", () => {
  assert.equal(writeState(readState("")), "#");
  assert.equal(writeState({ ...readState(""), customer: "00000" }), "#customer=00000");
});

test("what an address says wrongly has its default", () => {
  const state = readState("#view=constructor&span=toString&until=soon&compare=yes&tz=Mars&foo=1&images=yes&metric=valueOf&currency=euro");
  assert.deepEqual(state, readState(""));
});

test("a view has at most six lines, each once", () => {
  const hash = `#${"abcabcdefgh".split("").map((name) => `line=${name}`).join("&")}`;
  assert.deepEqual(readState(hash).lines, ["a", "b", "c", "d", "e", "f"]);
});

test("experiments, visitors and health are not of a span", () => {
  assert.deepEqual(Object.keys(VIEWS).filter((view) => !hasSpan(view)), ["experiments", "visitor", "health"]);
});

test("a live span holds the minute that has begun", () => {
  const [from, to] = bounds({ ...readState(""), span: "PT1H" }, NOW);
  assert.equal(to, Date.UTC(2026, 10, 28, 12, 31));
  assert.equal(to - from, HOUR);
});

test("a span that ends at a time stands", () => {
  const until = Date.UTC(2019, 11, 1);
  assert.deepEqual(bounds({ ...readState(""), span: "P7D", until }, NOW), [until - 7 * DAY, until]);
});

test("the span before is as long as what has elapsed of this one", () => {
  assert.deepEqual(boundsBefore(NOW - 10 * MINUTE, NOW + 50 * MINUTE, NOW).map((ms) => NOW - ms), [20 * MINUTE + 20_000, 10 * MINUTE]);
  const [from, to] = [Date.UTC(2019, 10, 24), Date.UTC(2019, 11, 1)];
  assert.deepEqual(boundsBefore(from, to, NOW), [from - 7 * DAY, from]);
});

test("a span is widened to whole windows, as answers are", () => {
  const span = [Date.UTC(2026, 10, 21, 12, 31), Date.UTC(2026, 10, 28, 12, 31)];
  assert.deepEqual(widened(span, "P1D"), [Date.UTC(2026, 10, 21), Date.UTC(2026, 10, 29)]);
  assert.deepEqual(widened(span, "PT1H"), [Date.UTC(2026, 10, 21, 12), Date.UTC(2026, 10, 28, 13)]);
  assert.deepEqual(widened(span, null), span);
});

test("one span earlier and later lead back to now", () => {
  const state = { ...readState(""), span: "PT1H" };
  const earlier = moved(state, -1, NOW);
  assert.equal(earlier.until, Date.UTC(2026, 10, 28, 11, 30));
  assert.equal(moved(earlier, 1, NOW).until, Date.UTC(2026, 10, 28, 12, 30));
  assert.equal(moved(moved(earlier, 1, NOW), 1, NOW).until, null);
});

test("the smallest span that holds a time is found", () => {
  assert.deepEqual([1, 15 * MINUTE, HOUR + 1, 7 * DAY, 400 * DAY].map(spanFor), ["PT15M", "PT15M", "PT6H", "P7D", "P90D"]);
});

test("a span has whole windows, and not more than a chart can show", () => {
  for (const { ms, steps } of Object.values(SPANS)) {
    for (const step of steps) assert.equal(ms % STEPS[step].ms, 0);
    const most = ms / STEPS[steps[0]].ms;
    assert.ok(most >= 15 && most <= 170);
  }
});

test("windows are as fine as the clicks allow", () => {
  assert.deepEqual([100_000, 7 * 24 * 5, 200, 96, 3, 0].map((clicks) => stepFor("P7D", clicks)), ["PT1H", "PT1H", "PT6H", "P1D", "P1D", "P1D"]);
});

test("windows do not change back and forth with a click more or less", () => {
  assert.equal(stepFor("P7D", 7 * 4 * 4, "PT6H"), "PT6H");
  assert.equal(stepFor("P7D", 7 * 4 * 6, "P1D"), "P1D");
  assert.equal(stepFor("P7D", 7 * 4 * 10, "P1D"), "PT6H");
  assert.equal(stepFor("P7D", 7 * 4 * 2, "PT6H"), "P1D");
});

test("windows that a span does not have are those that fit", () => {
  assert.equal(readState("#span=PT1H&step=P1D").step, null);
  assert.equal(writeState({ ...readState(""), span: "PT1H", step: "P1D" }), "#span=PT1H");
  assert.equal(readState(writeState({ ...readState(""), step: "PT1H" })).step, "PT1H");
});
