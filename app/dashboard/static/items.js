// The view of items and their images: the best and the worst ones, by the bounds of their rates.

import { ask, now, pathOf } from "./api.js";
import { AskedView } from "./asked_view.js";
import { h, panel, setName, setText, whisker } from "./dom.js";
import { count, interval, share } from "./numbers.js";
import { bounds, widened } from "./state.js";
import { DataTable, nameCell } from "./table.js";
import { itemRows } from "./windows.js";

const MOST = 20;
const ENDS = {
  top: { title: "Top", caption: "Items with the highest rates", words: "by the lower bound, highest first", label: "At least", bound: "low" },
  flop: { title: "Flop", caption: "Items with the lowest rates", words: "by the upper bound, lowest first", label: "At most", bound: "high" },
};

export class Items extends AskedView {
  constructor(context) {
    super(context);
    this.hours = h("p.note");
    this.bounded = h("p.note", { hidden: true });
    const choices = [
      [false, "Items"],
      [true, "Items and images"],
    ].map(([images, label]) =>
      h("label", h("input", { type: "radio", name: "images", value: String(images), onchange: () => context.change({ ...this.state, images }) }), h("span", label)),
    );
    this.choices = h("fieldset.segments", h("legend.sr", "Count by"), choices);
    this.ends = Object.entries(ENDS).map(([sort, end]) => this.#end(sort, end));
    this.pairs = h("div.pairs", this.ends.map(({ element }) => element));
    this.element = h("div.items", h("div.chart-head", this.choices, this.hours), this.pairs, this.bounded);
  }

  #end(sort, { title, caption, words, label, bound }) {
    const table = new DataTable({
      caption,
      pageSize: MOST + 1,
      columns: [
        { label: "Item", isHeader: true, render: itemCell },
        { label: "Image", render: nameCell((row) => (row.item === null ? "–" : (row.image ?? "no image"))) },
        { label: "Scenario", render: nameCell((row) => row.scenario ?? "–") },
        { label: "Shown", isNumber: true, text: (row) => count(row.rendered) },
        { label: "Clicked", isNumber: true, text: (row) => count(row.attributed_clicks) },
        { label: "CTR", isNumber: true, text: (row) => share(row.ctr.value) },
        { label, isNumber: true, title: `The ${bound === "low" ? "lower" : "upper"} bound of the 95 % interval`, text: (row) => share(row.ctr[bound]) },
        {
          label: "95 % interval",
          render: (cell, row) => {
            cell.whisker ??= whisker();
            if (!cell.firstChild) cell.append(cell.whisker.element, h("span.sr"));
            setText(cell.lastChild, (cell.title = interval(row.ctr.low, row.ctr.high)));
            cell.whisker.set(row.ctr, end.top);
          },
        },
      ],
    });
    const more = h("p.note");
    const note = h("p.note");
    const end = { sort, words, note, table, more, top: 0, element: panel(title, { note }, table.element, more) };
    return end;
  }

  show(state) {
    for (const radio of this.choices.querySelectorAll("input")) radio.checked = radio.value === String(state.images);
    this.element.classList.toggle("of-items", !state.images);
    this.element.classList.toggle("of-one", state.scenario !== null);
    this.pairs.classList.toggle("pairs", !state.images);
    for (const { table } of this.ends) table.empty = `No item was shown${state.images ? " with an image" : ""} in this span.`;
    super.show(state);
  }

  keyOf({ customer, scenario, span, until, images }) {
    return [customer, scenario, span, until, images];
  }

  /** Return both ends in one answer. */
  async ask(state, signal) {
    const [from, to] = widened(bounds(state, now()), "PT1H");
    const parameters = { from, to, by: state.images ? "item,image" : "item", scenario: state.scenario, limit: MOST };
    const asked = this.ends.map(({ sort }) => ask(pathOf(state.customer, "ctr", { ...parameters, sort }), { signal }));
    const ends = await Promise.all(asked);
    return { answer: { ...ends[0].answer, ends: ends.map(({ answer }) => answer) }, size: ends[0].size };
  }

  draw({ ends, from_ms, to_ms, items_bounded }) {
    const { state } = this;
    const { clock } = this.context;
    const [from, to] = bounds(state, now());
    const isWider = from_ms < from || to_ms > to;
    setText(this.hours, `Items are counted by whole hours${isWider ? `, so the span is widened to ${clock.range(from_ms, to_ms)}` : ""}.`);
    const found = ends.map(({ windows }) => itemRows(windows));
    const others = found.find((end) => end.others)?.others ?? null;
    this.ends.forEach((end, at) => {
      const { rows } = found[at];
      const { table, more } = end;
      end.top = Math.max(0, ...rows.map(({ ctr }) => ctr.high ?? 0));
      setText(end.note, end.top ? `${end.words}; bars from 0 to ${share(end.top)}` : end.words);
      table.show(others ? [...rows, others] : rows);
      const left = ends[at].left_out ?? 0;
      more.hidden = left === 0;
      setText(more, `${count(left)} more are not shown.`);
    });
    this.bounded.hidden = !items_bounded;
    setText(this.bounded, "Of each scenario and day, the first 10,000 items are counted one by one. “Other items” has the sum of all others.");
  }
}

/** Items come with their type before a slash. What is counted together has no name from outside. */
function itemCell(cell, row) {
  if (row.item === null) {
    if (!cell.firstChild) cell.append(h("i", "Other items"));
    return;
  }
  if (!cell.firstChild) nameCell(() => row.item)(cell, row);
  else setName(cell.firstChild, row.item);
}
