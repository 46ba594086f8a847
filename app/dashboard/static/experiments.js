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
      else this.currency.value = this.state.currency;
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
    return experiment === null ? [customer] : [customer, experiment, metric, metric === REVENUE && currency];
  }

  show(state) {
    const before = this.key;
    super.show(state);
    this.head.hidden = state.experiment === null;
    this.metric.value = state.metric;
    this.currency.value = state.currency;
    this.ofRevenue.hidden = state.metric !== REVENUE;
    if (this.key === before) return;
    this.shown?.close();
    this.shown = state.experiment === null ? new ExperimentList(this.context, state) : new OneExperiment(this.context, state);
    this.body.replaceChildren(this.shown.element);
  }

  ask({ customer, experiment, metric, currency }, signal) {
    const [rest, parameters] =
      experiment === null ? ["", {}] : [`/${encodeURIComponent(experiment)}`, { metric, currency: metric === REVENUE ? currency : null, steps: 1 }];
    return ask(pathOf(customer, `experiments${rest}`, parameters), { signal });
  }

  draw(answer) {
    this.shown.draw(answer, this.state);
  }
}
