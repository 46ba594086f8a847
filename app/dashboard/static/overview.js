// The first view: headline numbers, click-through rates over time, the scenarios, the funnel.

import { BarChart, RateChart, lineColour, swatch } from "./charts.js";
import { announce, h, nameOf, newId, panel, setText, tableBehind } from "./dom.js";
import { emptyPanel } from "./empty.js";
import { Feed, newest } from "./feed.js";
import { Headlines } from "./headlines.js";
import { count, difference, money, share } from "./numbers.js";
import { scenarioTable, windowTable } from "./overview_tables.js";
import { MAX_LINES, SPANS, STEPS } from "./state.js";
import { byScenario, corrections, funnel, grid, largest, lineOf, total, volumes } from "./windows.js";

const LINES = 5;
const KEPT_CORRECTIONS = 5;

export class Overview {
  constructor(context) {
    this.context = context;
    this.tiles = new Headlines();
    this.rates = new RateChart();
    this.shown = new BarChart("Shown");
    this.clicked = new BarChart("Clicked", true);
    this.legend = h("ul.legend");
    this.keyBefore = h("span.key-before", { hidden: true }, "the span before");
    this.marks = h("ul.corrections", { hidden: true });
    this.part = h("p.note", { hidden: true });
    this.windowTable = windowTable(() => this.context.clock);
    this.behind = tableBehind("Table of these charts", this.windowTable, () => this.#fillWindows());
    this.scenarioTable = scenarioTable(this);
    this.steps = h("tbody");
    this.revenue = h("ul.money");
    const stepId = newId("step");
    this.step = h("select", { id: stepId, onchange: () => this.context.change({ ...this.state, step: this.step.value || null }, { replace: true }) });
    this.chartPanel = panel(
      "Click-through rate",
      { note: h("p.key", h("span.key-band", "95 % interval"), h("span.key-dash", "not final yet"), h("span.key-mark", "corrected later"), this.keyBefore) },
      h("div.chart-head", this.legend, h("div.control", h("label.note", { for: stepId }, "Windows of"), this.step)),
      this.rates.element,
      h("h3", "Shown"),
      this.shown.element,
      h("h3", "Clicked"),
      this.clicked.element,
      this.part,
      this.marks,
      this.behind.element,
    );
    const funnelTable = h(
      "table.funnel",
      h("caption.sr", "From shown to bought"),
      h("thead", h("tr", ["Step", "Number", "Of shown", "Of prior"].map((text, n) => h(n ? "th.number" : "th", { scope: "col" }, text)))),
      this.steps,
    );
    this.side = h(
      "div.side",
      panel("From shown to bought", {}, h("div.scroll", { tabindex: "0", role: "region", "aria-label": "From shown to bought" }, funnelTable)),
      panel("Revenue", { note: h("p.note", "of purchases that followed a click") }, this.revenue),
    );
    this.empty = h("div", { hidden: true });
    this.full = h(
      "div.overview",
      this.tiles.element,
      h("div.columns", this.chartPanel, this.side),
      panel("Scenarios", { note: h("p.note", "Choose a name for its own view, or a box for its line in the chart.") }, this.scenarioTable.element),
    );
    this.element = h("div", this.empty, this.full);
  }

  show(state) {
    const key = JSON.stringify([state.customer, state.scenario, state.span, state.step, state.until, state.compare, this.context.wide ? state.lines : null]);
    this.state = state;
    if (key === this.key) {
      this.#draw();
      return;
    }
    this.hide();
    this.key = key;
    Object.assign(this, { answer: null, rows: null, before: null, changed: [], looked: false });
    this.rates.forget();
    this.tiles.showUsers(null);
    this.element.classList.add("loading");
    this.feed = new Feed(state, {
      scenarios: (answer, rows) => this.#gotScenarios(answer, rows),
      windows: (answer) => this.#gotWindows(answer),
      before: (before) => {
        this.before = before;
        this.#draw();
      },
      users: (window) => this.tiles.showUsers(window),
      fresh: (answer) => this.context.fresh(answer),
      problem: (error) => this.context.problem(error, this.answer !== null),
    });
  }

  hide() {
    this.feed?.close();
    this.key = null;
  }

  /** Show one scenario. */
  opens(scenario) {
    this.context.change({ ...this.state, scenario });
  }

  /** Draw the line of a scenario, or leave it out. */
  draws(scenario, isOn) {
    const names = this.#names(this.#rows() ?? []);
    const lines = isOn ? [...names, scenario].slice(-MAX_LINES) : names.filter((name) => name !== scenario);
    this.context.change({ ...this.state, lines }, { replace: true });
  }

  restyle() {
    for (const chart of [this.rates, this.shown, this.clicked]) chart.forget();
    if (this.answer) this.#draw();
  }

  #gotScenarios(answer, rows) {
    this.sums = answer;
    this.polled = rows;
    if (this.feed.isWide !== Boolean(this.answer?.isPart)) this.answer = null; // another kind of answer follows
    this.context.wide = this.feed.isWide;
    this.context.scenarios(rows.map((row) => row.scenario));
    if (rows.length === 0 && !this.looked) this.#look();
    this.#draw();
  }

  #gotWindows(answer) {
    if (this.answer?.step_ms === answer.step_ms) this.#remember(corrections(this.answer.windows, answer.windows));
    this.answer = answer;
    this.element.classList.remove("loading");
    this.#draw();
  }

  /** Nothing was counted in this span: find out whether anything was ever counted. */
  async #look() {
    this.looked = true;
    const key = this.key;
    let older = null;
    try {
      older = await newest(this.state, this.feed.abort.signal);
    } catch {
      // The sentence about what to send is right in any case.
    }
    if (this.key !== key) return;
    if (older !== null && older.until !== null && this.context.isFirstVisit) {
      announce("There are no events now; the newest ones are shown.");
      this.context.isFirstVisit = false;
      this.context.change(older, { replace: true });
      return;
    }
    this.empty.replaceChildren(emptyPanel(this.context, this.state, older));
  }

  #remember(found) {
    if (found.length === 0) return;
    this.changed = [...found, ...this.changed].slice(0, KEPT_CORRECTIONS);
    const { clock } = this.context;
    this.marks.replaceChildren(
      ...this.changed.map((window) =>
        h("li", "Corrected: ", nameOf(window.scenario), ` ${clock.range(window.start_ms, window.end_ms)}, now ${count(window.attributed_clicks)} of ${count(window.rendered)} clicked (revision ${window.revision})`),
      ),
    );
    this.marks.hidden = false;
    announce(`A final window of ${found[0].scenario} was corrected.`);
  }

  #draw() {
    const { state, context } = this;
    const rows = this.#rows();
    const isEmpty = rows !== null && rows.length === 0 && (this.answer === null || this.answer.windows.length === 0);
    this.empty.hidden = !isEmpty;
    this.full.hidden = isEmpty;
    if (isEmpty) this.element.classList.remove("loading");
    if (rows === null || isEmpty) return;
    const sums = this.#sums(rows);
    const earlier = this.before === null ? null : pick(this.before.totals, state.scenario);
    this.tiles.show(sums, earlier, state);
    this.#drawFunnel(sums);
    this.#drawRevenue(sums);
    this.#drawScenarios(rows);
    if (this.answer) this.#drawCharts(rows);
    context.describe(this.answer ?? this.sums);
  }

  /** Return the sums by scenario: those of the stream if it covers all scenarios, because they are the newest. */
  #rows() {
    if (this.answer && !this.answer.isPart && this.state.scenario === null) return byScenario(this.answer.windows);
    return this.polled ?? null;
  }

  #sums(rows) {
    if (this.answer && !this.answer.isPart) return total(this.answer.windows);
    return total(this.state.scenario === null ? rows : rows.filter((row) => row.scenario === this.state.scenario));
  }

  #names(rows) {
    if (this.state.scenario !== null) return [this.state.scenario];
    return this.state.lines.length ? this.state.lines : largest(rows, LINES);
  }

  #drawCharts(rows) {
    const { answer, state, context } = this;
    const starts = grid(answer.from_ms, answer.to_ms, answer.step_ms);
    const names = this.#names(rows);
    const found = Map.groupBy ? Map.groupBy(answer.windows, (window) => window.scenario) : groupBy(answer.windows);
    const lines = names.map((name, at) => {
      const windows = found.get(name) ?? [];
      return { name, line: lineOf(starts, windows), rate: total(windows).ctr, colour: lineColour(at) };
    });
    const common = {
      starts,
      step_ms: answer.step_ms,
      bounds: [answer.from_ms, answer.to_ms],
      clock: context.clock,
      isUtc: state.utc,
    };
    const before = this.#earlierLine(starts);
    this.keyBefore.hidden = before === null;
    this.rates.show({ ...common, lines, before });
    this.sumsAt = volumes(starts, answer.windows);
    this.shown.show({ ...common, sums: this.sumsAt, counter: "rendered", tint: "bar-shown" });
    this.clicked.show({ ...common, sums: this.sumsAt, counter: "attributed_clicks", tint: "bar-clicked" });
    this.part.hidden = !answer.isPart;
    setText(this.part, `The charts add up the ${names.length} scenarios of the lines. The numbers above are of all ${count(rows.length)}.`);
    this.#drawLegend(lines);
    this.lines = lines;
    this.behind.refresh();
    this.#drawStep();
  }

  /** Offer the windows that a span may have, and name those that were chosen for it. */
  #drawStep() {
    const { span, step } = this.state;
    const key = `${span} ${this.feed.step}`;
    if (this.stepKey !== key) {
      this.stepKey = key;
      this.step.replaceChildren(
        h("option", { value: "" }, `${STEPS[this.feed.step].label} (automatic)`),
        ...SPANS[span].steps.map((each) => h("option", { value: each }, STEPS[each].label)),
      );
    }
    if (this.step.value !== (step ?? "")) this.step.value = step ?? "";
  }

  #earlierLine(starts) {
    const series = this.before?.series;
    if (!series || this.state.scenario === null) return null;
    const shift = SPANS[this.state.span].ms;
    const step = this.answer.step_ms;
    const at = new Map(series.windows.map((window) => [window.start_ms, window.ctr_rendered.value]));
    return starts.map((start) => at.get(Math.round((start - shift) / step) * step) ?? null);
  }

  #drawLegend(lines) {
    const key = JSON.stringify(lines.map(({ name, colour }) => [name, colour]));
    if (this.legendKey !== key) {
      this.legendKey = key;
      this.legend.replaceChildren(...lines.map(({ name, colour }) => h("li", swatch(colour), nameOf(name), h("b"))));
    }
    lines.forEach(({ rate }, at) => setText(this.legend.children[at].lastChild, share(rate.value)));
  }

  #drawFunnel(sums) {
    const steps = funnel(sums);
    if (this.steps.children.length !== steps.length) {
      this.steps.replaceChildren(...steps.map(() => h("tr", h("th", { scope: "row" }, h("span"), h("span.bar", { "aria-hidden": "true" })), h("td.number"), h("td.number"), h("td.number"))));
    }
    const largestNumber = Math.max(1, ...steps.map((step) => step.number));
    steps.forEach((step, at) => {
      const [head, number, ofFirst, ofBefore] = this.steps.children[at].children;
      setText(head.firstChild, step.label);
      // A square root: the last steps are a thousandth of the first, and still want to be seen.
      head.lastChild.style.width = step.number ? `max(2px, ${(100 * Math.sqrt(step.number / largestNumber)).toFixed(1)}%)` : "0";
      setText(number, count(step.number));
      setText(ofFirst, at ? share(step.ofFirst) : "");
      setText(ofBefore, at ? share(step.ofBefore) : "");
    });
  }

  #drawRevenue(sums) {
    const amounts = Object.entries(sums.revenue).sort();
    const lines = amounts.map(([currency, amount]) => `${currency} ${amount}`).join();
    if (lines === this.moneyKey) return;
    this.moneyKey = lines;
    this.revenue.replaceChildren(
      ...(amounts.length ? amounts.map(([currency, amount]) => h("li", h("b", money(amount, currency)), h("span.muted", currency))) : [h("li.muted", "No purchase followed a click in this span.")]),
    );
  }

  #drawScenarios(rows) {
    const earlier = new Map((this.before?.totals.windows ?? []).map((window) => [window.scenario, window.ctr_rendered]));
    const names = new Set(this.#names(rows));
    this.top = Math.max(0, ...rows.map((row) => Math.min(row.ctr.high ?? 0, 3 * (row.ctr.value ?? 0))));
    for (const row of rows) {
      row.inChart = names.has(row.scenario);
      row.change = this.state.compare ? difference(row.ctr, earlier.get(row.scenario)) : null;
    }
    this.full.classList.toggle("comparing", this.state.compare);
    this.scenarioTable.show(rows);
  }

  #fillWindows() {
    const rows = (this.lines ?? []).flatMap(({ name, line }) =>
      line.windows.filter(Boolean).map((window) => ({ ...window, key: `${window.start_ms} ${name}`, name })),
    );
    this.windowTable.show(rows);
  }
}

/** Return the sums of an answer without granularity, of one scenario or of all. */
function pick(answer, scenario) {
  return total(scenario === null ? answer.windows : answer.windows.filter((window) => window.scenario === scenario));
}

function groupBy(windows) {
  const found = new Map();
  for (const window of windows) found.set(window.scenario, [...(found.get(window.scenario) ?? []), window]);
  return found;
}
