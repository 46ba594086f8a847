// The views of positions (a heat map of row and rank) and of variants, side by side.

import { ask, now, pathOf } from "./api.js";
import { AskedView } from "./asked_view.js";
import { h, panel, setText, whisker } from "./dom.js";
import { count, interval, share } from "./numbers.js";
import { bounds } from "./state.js";
import { DataTable, nameCell } from "./table.js";
import { byVariant, places } from "./windows.js";

const MOST_RANKS = 60;

/** What both views share: a question about one dimension. */
class DimensionView extends AskedView {
  constructor(context, by) {
    super(context);
    this.by = by;
  }

  keyOf({ customer, scenario, span, until }) {
    return [customer, scenario, span, until];
  }

  ask(state, signal) {
    const [from, to] = bounds(state, now());
    return ask(pathOf(state.customer, "ctr", { from, to, by: this.by, scenario: state.scenario }), { signal });
  }
}

/** A table of rows and ranks. Its cells have numbers and a colour, so that it needs no other table behind it. */
export class Positions extends DimensionView {
  constructor(context) {
    super(context, "position");
    this.table = h("table.heat");
    this.note = h("p.empty-note", { hidden: true }, "Nothing was shown in this span.");
    this.more = h("p.note");
    this.element = h(
      "div",
      panel(
        "Click-through rate by position",
        { note: h("p.key", h("span", "low"), h("span.ramp", { "aria-hidden": "true" }), h("span", "high")) },
        h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Click-through rate by row and rank" }, this.table),
        this.note,
        this.more,
        h("p.note", "A row is a list on the page, a rank is a place in the list; both count from 0. “No place” has events that were sent without one. Pale cells were shown too rarely to tell: their 95 % interval is wider than their rate."),
      ),
    );
  }

  draw(answer) {
    const { rows, ranks, at } = places(answer.windows);
    const cut = ranks.slice(0, MOST_RANKS);
    const cells = [...at.values()].filter((cell) => cell.ctr.value !== null);
    const top = Math.max(0, ...cells.filter((cell) => !isVague(cell)).map((cell) => cell.ctr.value)) || 1;
    const word = (value, name) => (value === null ? "no place" : `${name} ${value}`);
    this.table.replaceChildren(
      h("caption.sr", "Click-through rate by row and rank"),
      h("thead", h("tr", h("td"), cut.map((rank) => h("th", { scope: "col" }, word(rank, "rank"))))),
      h("tbody", rows.map((row) => h("tr", h("th", { scope: "row" }, word(row, "row")), cut.map((rank) => this.#cell(at.get(`${row} ${rank}`), top))))),
    );
    this.note.hidden = at.size > 0;
    this.table.hidden = at.size === 0;
    this.more.hidden = ranks.length <= MOST_RANKS;
    setText(this.more, `${count(ranks.length - MOST_RANKS)} more ranks are not shown.`);
  }

  #cell(cell, top) {
    if (cell === undefined) return h("td.none", "");
    const { value, low, high } = cell.ctr;
    const words = `${count(cell.attributed_clicks)} of ${count(cell.rendered)} clicked, 95 %: ${interval(low, high)}`;
    const element = h("td", { title: words }, h("b", share(value)), h("span", `${count(cell.attributed_clicks)} / ${count(cell.rendered)}`));
    if (value === null) element.className = "none";
    else if (isVague(cell)) element.className = "vague";
    else element.style.setProperty("--heat", `${Math.round(8 + 62 * Math.min(1, value / top))}%`);
    return element;
  }
}

/** Whether the interval of a cell is wider than its rate: it was shown too rarely to compare it. */
function isVague(cell) {
  return cell.ctr.low === null || cell.ctr.high - cell.ctr.low > Math.max(cell.ctr.value, 0.001);
}

/** A table of variants, with their intervals below each other. */
export class Variants extends DimensionView {
  constructor(context) {
    super(context, "variant");
    this.table = new DataTable({
      caption: "Variants",
      sort: 0,
      pageSize: 30,
      search: (row) => `${row.scenario} ${row.variant ?? ""}`,
      empty: "Nothing was counted in this span.",
      columns: [
        { label: "Scenario", isHeader: true, value: (row) => row.scenario, render: nameCell((row) => row.scenario) },
        { label: "Variant", value: (row) => row.variant ?? "", render: nameCell((row) => row.variant ?? "none") },
        { label: "Shown", isNumber: true, value: (row) => row.rendered, text: (row) => count(row.rendered) },
        { label: "Clicked", isNumber: true, value: (row) => row.attributed_clicks, text: (row) => count(row.attributed_clicks) },
        { label: "CTR", isNumber: true, value: (row) => row.ctr.value, text: (row) => share(row.ctr.value) },
        {
          label: "95 % interval",
          render: (cell, row) => {
            cell.whisker ??= whisker();
            if (!cell.firstChild) cell.append(cell.whisker.element, h("span.whisker-words"));
            cell.whisker.set(row.ctr, this.top);
            setText(cell.lastChild, interval(row.ctr.low, row.ctr.high));
          },
        },
        { label: "Basket", isNumber: true, value: (row) => row.basket, text: (row) => count(row.basket) },
        { label: "Bought", isNumber: true, value: (row) => row.purchases, text: (row) => count(row.purchases) },
      ],
    });
    this.element = h(
      "div",
      panel(
        "Variants side by side",
        { note: h("p.note", "of the parameter "), className: ".wide-bars" },
        this.table.element,
        h("p.note", "Each interval holds for one look at its own rate. It is no verdict about an experiment: whoever looks often will sooner or later see two intervals apart. “Experiments” has verdicts."),
      ),
    );
    this.element.querySelector(".note").append(h("code", "variant"));
  }

  draw(answer) {
    const rows = byVariant(answer.windows);
    this.top = Math.max(0, ...rows.map((row) => Math.min(row.ctr.high ?? 0, 3 * (row.ctr.value ?? 0))));
    this.table.show(rows);
  }
}
