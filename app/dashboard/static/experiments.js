// The view of experiments: all of a customer, or one with its verdict.

import { ask, pathOf } from "./api.js";
import { AskedView } from "./asked_view.js";
import { h, newId } from "./dom.js";
import { ExperimentList, OneExperiment } from "./experiment_panels.js";
import { METRICS } from "./state.js";

const REVENUE = "revenue_per_call";

export class Experiments extends AskedView {
  constructor(context) {
    super(context);
    const id = newId("metric");
    const change = (changes) => context.change({ ...this.state, ...changes });
    this.metric = h("select", { id, onchange: () => change({ metric: this.metric.value }) }, Object.entries(METRICS).map(([value, { label }]) => h("option", { value }, label)));
    this.currency = h("input", { type: "text", size: 4, maxlength: 3, autocomplete: "off", spellcheck: "false" });
    this.currency.addEventListener("change", () => {
      const currency = this.currency.value.toUpperCase();
      if (/^[A-Z]{3}$/.test(currency)) change({ currency });
      else this.#showChoices();
    });
    this.ofRevenue = h("label.control", "Currency", this.currency);
    this.head = h(
      "div.chart-head",
      h("button.link", { type: "button", onclick: () => change({ experiment: null }) }, "‹ All experiments"),
      h("div.control", h("label", { for: id }, "Compare"), this.metric, this.ofRevenue),
    );
    this.body = h("div");
    this.element = h("div.experiments", this.head, this.body);
  }

  keyOf({ customer, experiment, metric, currency }) {
    return experiment === null ? [customer] : [customer, experiment, metric, currency];
  }

  show(state) {
    const before = this.key;
    super.show(state);
    this.head.hidden = state.experiment === null;
    this.#showChoices();
    if (this.key === before) return;
    this.shown?.close();
    this.shown = null;
    this.body.replaceChildren(h("p.waiting.panel", "Loading …"));
  }

  /** Show the metric and the currency: those that were chosen, or those of the answer. */
  #showChoices() {
    const { state, answer } = this;
    this.metric.value = state.metric ?? answer?.metric ?? "";
    this.currency.value = state.currency ?? answer?.currency ?? "";
    this.ofRevenue.hidden = this.metric.value !== REVENUE;
  }

  ask({ customer, experiment, metric, currency }, signal) {
    const [rest, parameters] =
      experiment === null ? ["", {}] : [`/${encodeURIComponent(experiment)}`, { metric, currency, steps: 1 }];
    return ask(pathOf(customer, `experiments${rest}`, parameters), { signal });
  }

  draw(answer) {
    this.#showChoices();
    if (this.shown === null) {
      this.shown = this.state.experiment === null ? new ExperimentList(this.context) : new OneExperiment(this.context, answer);
      this.body.replaceChildren(this.shown.element);
    }
    this.shown.draw(answer, this.state);
  }
}
