// What is said about experiments: the verdicts in words first, then the numbers that they rest on.

import { lineColour, swatch } from "./charts.js";
import { h, nameOf, panel, setText, tableBehind, whisker } from "./dom.js";
import { command } from "./empty.js";
import { LiftChart } from "./lift_chart.js";
import { count, inPoints, interval, lift, money, relative, share, small } from "./numbers.js";
import { liftRange, liftsOf, partsOf, timeRange } from "./sequences.js";
import { MAX_LINES, METRICS } from "./state.js";
import { DataTable, nameCell } from "./table.js";

const VERDICTS = {
  split_wrong: ["Split wrong", "silent"],
  better: ["Better", ""],
  worse: ["Worse", "silent"],
  no_difference: ["No difference", ""],
  too_early: ["Too early", "waits"],
  one_variant: ["One variant", "waits"],
};
const SPLIT_ALPHA = 0.01;

/** Show a verdict as a word, and the sentence that it stands for. Names in the sentence come from outside. */
function say(element, { verdict, sentence }, names) {
  const key = `${verdict} ${sentence}`;
  if (element.said === key) return;
  element.said = key;
  const [word, className] = VERDICTS[verdict] ?? [verdict, "waits"];
  const parts = partsOf(sentence, names).map((part) => (names.includes(part) ? nameOf(part) : part));
  element.replaceChildren(h(`span.state.${className}`, word), " ", ...parts);
}

/** All experiments of a customer. */
export class ExperimentList {
  constructor(context) {
    this.context = context;
    this.table = new DataTable({
      caption: "Experiments",
      sort: 3,
      isDescending: true,
      pageSize: 20,
      search: (row) => row.name,
      columns: [
        { label: "Experiment", isHeader: true, value: (row) => row.name, render: (cell, row) => this.#name(cell, row) },
        {
          label: "Verdict",
          value: (row) => Object.keys(VERDICTS).indexOf(row.verdict),
          render: (cell, row) => {
            cell.className = "words";
            say(cell, row, row.variants);
          },
        },
        { label: "Users", isNumber: true, value: (row) => row.users, text: (row) => count(row.users) },
        { label: "Last user", isDescending: true, value: (row) => row.last_ms, text: (row) => this.#time(row.last_ms) },
        { label: "First user", isDescending: true, value: (row) => row.first_ms, text: (row) => this.#time(row.first_ms) },
        { label: "Variants", isNumber: true, value: (row) => row.variants.length, text: (row) => count(row.variants.length) },
        { label: "Source", value: (row) => Number(row.declared), text: sourceOf },
      ],
    });
    this.full = panel("Experiments", { note: h("p.note", "Choose a name for its numbers.") }, this.table.element);
    this.element = h("div", this.full);
  }

  #name(cell, row) {
    if (cell.firstChild) return;
    const open = () => this.context.change({ ...this.state, experiment: row.name });
    cell.append(h("button.link", { type: "button", onclick: open }, nameOf(row.name)));
  }

  #time(ms) {
    return ms ? this.context.clock.full(ms) : "–";
  }

  draw({ experiments }, state) {
    this.state = state;
    this.full.hidden = experiments.length === 0;
    if (experiments.length === 0) this.empty ??= this.element.appendChild(this.#what());
    else {
      this.empty?.remove();
      this.empty = null;
    }
    this.table.show(experiments.map((each) => ({ ...each, key: each.name })));
  }

  /** Say what to send. */
  #what() {
    const base = `${this.context.session.collector ?? location.origin}/api/${encodeURIComponent(this.state.customer)}`;
    return panel(
      "No experiments yet",
      { className: ".empty" },
      h("p", "When a visitor sees recommended items, send the experiment and the variant, too. A click counts where its items were shown:"),
      command(`curl -i '${base}/rendered/you/1/11,12?scenario=mine&experiment=mine&variant=B'`),
      command(`curl -i '${base}/clickrecommended/you/1/12?scenario=mine'`),
    );
  }

  close() {}
}

/** One experiment, by one metric. */
export class OneExperiment {
  constructor(context, { name, metric, currency }) {
    Object.assign(this, { context, metric, currency, isMoney: metric === "revenue_per_call" });
    this.verdict = h("div.verdict", { role: "status" });
    this.alarm = h("ul.alarms", { hidden: true }, h("li.alarm"));
    this.facts = h("dl.facts");
    this.variants = this.#variantTable();
    this.chart = new LiftChart();
    this.legend = h("ul.legend");
    this.none = h("p.empty-note", { hidden: true }, "There is no lift yet: each variant needs more users.");
    this.hint = h("p.note", "While the band holds zero, the variant may be better or worse than the baseline.");
    this.steps = this.#stepTable();
    this.behind = tableBehind("Table of this chart", this.steps, () => this.#fillSteps());
    this.split = this.#splitTable();
    this.splitWords = h("p.note");
    this.undeclared = h("p.note", { hidden: true });
    this.element = h(
      "div",
      panel(nameOf(name), { note: h("p.note", METRICS[metric].label) }, this.verdict, this.alarm, this.facts),
      panel("Variants", { className: ".wide-cells" }, this.variants.element, h("p.note", "The intervals hold at every look, so you may look as often as you like. The lift is that over the baseline.")),
      panel(
        "Lift over time",
        { note: h("p.key", h("span.key-band", "confidence sequence")) },
        h("div.chart-head", this.legend),
        this.chart.element,
        this.none,
        this.hint,
        this.behind.element,
      ),
      panel("Split of users", {}, this.split.element, this.splitWords, this.undeclared),
    );
  }

  close() {
    this.chart.destroy();
  }

  #rate(value) {
    return this.isMoney && value !== null ? money(value, this.currency, { maximumSignificantDigits: 4 }) : share(value);
  }

  #difference(estimate) {
    if (!this.isMoney) return inTwo(estimate, inPoints, " points");
    return inTwo(estimate, (value) => money(value, this.currency, { maximumSignificantDigits: 3, signDisplay: "exceptZero" }));
  }

  #variantTable() {
    const { value, weight } = METRICS[this.metric];
    const { isMoney, currency } = this;
    return new DataTable({
      caption: "Variants",
      pageSize: 20,
      empty: "No variant has a user yet.",
      columns: [
        { label: "Variant", isHeader: true, render: nameCell((row) => row.name) },
        { label: "Users", isNumber: true, text: (row) => count(row.users) },
        { label: value, isNumber: true, text: (row) => (isMoney ? money(row.values, currency) : count(row.values)) },
        { label: weight, isNumber: true, text: (row) => count(row.weights) },
        { label: "Rate", isNumber: true, text: (row) => this.#rate(row.rate) },
        {
          label: "Interval",
          render: (cell, row) => {
            cell.whisker ??= whisker();
            if (!cell.firstChild) cell.append(cell.whisker.element, h("span.whisker-words"));
            cell.whisker.set({ value: row.rate, low: row.low, high: row.high }, this.top);
            setText(cell.lastChild, row.low === null ? (row.reason ?? "–") : isMoney ? `${this.#rate(row.low)} to ${this.#rate(row.high)}` : interval(row.low, row.high));
          },
        },
        { label: "Lift", isNumber: true, render: (cell, row) => stack(cell, row.isBaseline ? ["baseline"] : inTwo(row.found?.lift, relative)) },
        { label: "Difference", isNumber: true, render: (cell, row) => stack(cell, row.isBaseline ? [] : this.#difference(row.found?.absolute)) },
        { label: "p", isNumber: true, title: "It holds at every look, and counts all comparisons", text: (row) => (row.isBaseline ? "" : small(row.found?.p_value)) },
        {
          label: "Users needed",
          isNumber: true,
          title: "Of this variant and the baseline, from the start, for the lift that matters",
          render: (cell, row) => stack(cell, row.isBaseline ? [] : [count(row.found?.users_needed), missingOf(row.found) ? `${count(missingOf(row.found))} more` : ""]),
        },
      ],
    });
  }

  #stepTable() {
    const bound = (label, name) => ({ label, isNumber: true, value: (row) => row.lift[name], text: (row) => share(row.lift[name]) });
    return new DataTable({
      caption: "Lift over time",
      sort: 0,
      isDescending: true,
      pageSize: 20,
      columns: [
        { label: "Until", isHeader: true, isDescending: true, value: (row) => row.end_ms, text: (row) => this.context.clock.full(row.end_ms) },
        { label: "Variant", value: (row) => row.name, render: nameCell((row) => row.name) },
        bound("Lift", "value"),
        bound("At least", "low"),
        bound("At most", "high"),
      ],
    });
  }

  #splitTable() {
    return new DataTable({
      caption: "Split of users",
      columns: [
        { label: "Variant", isHeader: true, render: nameCell((row) => row.name) },
        { label: "Users", isNumber: true, text: (row) => count(row.users) },
        { label: "Their share", isNumber: true, text: (row) => share(row.found) },
        { label: "Share as assigned", isNumber: true, text: (row) => share(row.expected) },
      ],
    });
  }

  draw(answer, state) {
    Object.assign(this, { answer, state });
    const { variants, differences, split, baseline } = answer;
    const names = variants.map(({ name }) => name);
    // What is said of all is what is said of each, in one line, unless there is more to say.
    const said = answer.verdict === "split_wrong" || differences.length < 2 ? [answer] : differences;
    while (this.verdict.children.length < said.length) this.verdict.append(h("p"));
    while (this.verdict.children.length > said.length) this.verdict.lastChild.remove();
    said.forEach((each, at) => say(this.verdict.children[at], each, names));
    const isWrong = answer.verdict === "split_wrong" || split.p_value <= SPLIT_ALPHA;
    this.alarm.hidden = !isWrong;
    if (isWrong) setText(this.alarm.firstChild, "Do not compare the rates below. Users did not reach the variants as assigned, so the groups may differ in more than the variant.");
    const missing = Math.max(0, ...differences.map(missingOf));
    const facts = [
      ["Users", count(split.users)],
      ["Saw several variants", count(answer.of_several)],
      ["Users still needed", missing ? count(missing) : "–"],
      ["Source", sourceOf(answer)],
    ];
    this.facts.replaceChildren(...facts.map(([label, value]) => h("div", h("dt", label), h("dd", value))));
    this.top = 1.1 * Math.max(0, ...variants.map(({ rate, high }) => Math.min(high ?? 0, 3 * (rate ?? 0))));
    const found = new Map(differences.map((each) => [each.name, each]));
    this.variants.show(variants.map((each) => ({ ...each, key: each.name, found: found.get(each.name), isBaseline: each.name === baseline })));
    this.#drawChart();
    this.split.show(variants.map(({ name, users }, at) => ({ key: name, name, users, found: split.found[at] ?? null, expected: split.expected[at] ?? null })));
    const contradiction = split.p_value <= SPLIT_ALPHA ? "The counts contradict the assignment" : "The counts agree with the assignment";
    setText(this.splitWords, `${contradiction} (p: ${small(split.p_value)}). ${count(answer.of_several)} users saw more than one variant, and belong to none.`);
    const undeclared = Object.entries(answer.undeclared_variants ?? {});
    this.undeclared.hidden = undeclared.length === 0;
    this.undeclared.replaceChildren("Left out, because the experiment does not declare them: ", ...undeclared.flatMap(([name, users], at) => [at ? ", " : "", nameOf(name), ` (${count(users)} users)`]));
  }

  #drawChart() {
    const { sequence = [] } = this.answer;
    this.lines = liftsOf(sequence, MAX_LINES).map((line, at) => ({ ...line, colour: lineColour(at) }));
    const isEmpty = !this.lines.some(({ lifts }) => lifts.some(Boolean));
    this.chart.element.hidden = isEmpty;
    this.none.hidden = !isEmpty;
    this.behind.element.hidden = isEmpty;
    this.hint.hidden = isEmpty;
    this.legend.replaceChildren(...(isEmpty ? [] : this.lines.map(({ name, lifts, colour }) => h("li", swatch(colour), nameOf(name), h("b", lift(lifts.at(-1)))))));
    if (isEmpty) return;
    const ends = sequence.map(({ end_ms }) => end_ms);
    const bounds = timeRange(ends);
    this.chart.show({ ends, lines: this.lines, range: liftRange(this.lines), bounds, clock: this.context.clock, isUtc: this.state.utc });
    this.behind.refresh();
  }

  #fillSteps() {
    const steps = this.answer?.sequence ?? [];
    const rows = this.lines.flatMap(({ name, lifts }) => lifts.map((each, at) => ({ key: `${steps[at].end_ms} ${name}`, end_ms: steps[at].end_ms, name, lift: each })));
    this.steps.show(rows.filter((row) => row.lift !== null));
  }
}

const sourceOf = ({ declared }) => (declared ? "customers file" : "events");

/** Return how many users a variant still needs: none if its verdict is there. */
const missingOf = (found) => (found?.verdict === "too_early" ? (found.users_missing ?? 0) : 0);

/** Return an estimate as two lines: the value, and its interval. */
function inTwo(estimate, one, unit = "") {
  return estimate ? [one(estimate.value) + unit, `${one(estimate.low)} to ${one(estimate.high)}`] : ["–"];
}

/** Show two lines in a cell. */
function stack(cell, [line = "", below = ""]) {
  if (!cell.firstChild) cell.append(h("span"), h("span.below"));
  setText(cell.firstChild, line);
  setText(cell.lastChild, below);
}
