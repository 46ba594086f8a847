// The view of one visitor: what is known of an id, and what a lookup would exclude. The id stays out of the address bar.

import { ask, pathOf } from "./api.js";
import { h, nameOf, newId, panel } from "./dom.js";
import { count, duration, money } from "./numbers.js";
import { DataTable, nameCell } from "./table.js";

const REASONS = {
  rendered: "shown often enough",
  clicked: "clicked",
  bought: "bought or owned",
  consumed: "consumed",
  basket: "in the basket",
  blacklisted: "blacklisted",
};

export class Visitor {
  constructor(context) {
    this.context = context;
    const id = newId("visitor");
    this.box = h("input", { id, type: "text", required: true, maxlength: "1024", autocomplete: "off", spellcheck: "false", dir: "auto" });
    this.result = h("div", { "aria-live": "polite" });
    const form = h(
      "form.ask",
      { onsubmit: (event) => (event.preventDefault(), this.#look()) },
      h("label", { for: id }, "The visitor’s id, as the site sends it"),
      h("div.row", this.box, h("button.primary", { type: "submit" }, "Look up")),
      h("p.note", "It stays out of the address bar, because it is personal data."),
    );
    this.element = h("div", panel("One visitor", {}, form), this.result);
  }

  show(state) {
    if (this.customer !== state.customer) this.result.replaceChildren();
    this.customer = state.customer;
    this.state = state;
    this.context.describe(null);
  }

  hide() {
    this.abort?.abort();
  }

  restyle() {}

  async #look() {
    const user = this.box.value;
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    this.result.replaceChildren(h("p.waiting", "Asking …"));
    const path = `users/${encodeURIComponent(user)}`;
    try {
      const [page, excluded] = await Promise.all([
        ask(pathOf(this.customer, path), { signal }),
        ask(pathOf(this.customer, `${path}/exclusions`), { signal }),
      ]);
      this.result.replaceChildren(...this.#answer(user, page.answer, excluded.answer));
      this.context.fresh(page.answer);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) this.context.problem(error, false);
      this.result.replaceChildren(panel("No answer", { className: ".wrong" }, h("p", error.message)));
    }
  }

  #answer(user, page, exclusions) {
    if (!page.known) {
      return [panel("Not known", {}, h("p", "Nothing is stored of ", nameOf(user), " in this customer. Ids are case sensitive."))];
    }
    const { clock } = this.context;
    const { totals } = page;
    const facts = [
      ["Shown", count(totals.rendered)],
      ["Viewed", count(totals.viewed)],
      ["Clicks", count(totals.clicks)],
      ["Purchases", count(totals.purchases)],
      ["Session since", page.session_start_ms === null ? "no session" : clock.second(page.session_start_ms)],
    ];
    if (page.identity?.logged_in_as) facts.push(["Logged in", clock.full(page.identity.login_ms)]);
    const parts = [
      panel("What is known", { note: h("p.note", nameOf(user)) }, h("dl.facts", facts.map(([label, value]) => h("div", h("dt", label), h("dd", value))))),
      panel("What would be excluded now, and why", { note: h("p.note", "with the customer’s own rules") }, this.#excluded(exclusions, page.as_of_ms)),
    ];
    const tables = Object.entries(TABLES).filter(([name]) => page[name].length);
    const panels = tables.map(([name, title]) => panel(`${title} (${count(page[name].length)})`, {}, this.#table(name, title, page[name])));
    return [...parts, h("div.pairs", panels)];
  }

  #excluded(exclusions, as_of_ms) {
    const table = new DataTable({
      caption: "Excluded items",
      pageSize: 15,
      search: (row) => row.item,
      empty: "Nothing: every item may be shown.",
      columns: [
        ...itemColumns(),
        { label: "Because it is", text: (row) => row.reasons.map((reason) => REASONS[reason] ?? reason).join(", ") },
        { label: "Count", isNumber: true, value: (row) => row.count, text: (row) => count(row.count) },
        { label: "Last", isDescending: true, value: (row) => row.last_ms, text: (row) => `${duration(as_of_ms - row.last_ms)} ago` },
      ],
    });
    table.show(keyed(exclusions.excluded));
    return table.element;
  }

  #table(name, title, rows) {
    const { clock } = this.context;
    const table = new DataTable({
      caption: title,
      pageSize: 10,
      columns: [
        ...itemColumns(),
        ...(DETAILS[name] ?? []),
        { label: "Last", isDescending: true, value: (row) => row.last_ms, text: (row) => clock.full(row.last_ms) },
      ],
    });
    table.show(keyed(rows));
    return table.element;
  }
}

const TABLES = {
  rendered: "Shown",
  clicked: "Clicked",
  consumed: "Consumed",
  basket: "In the basket",
  purchases: "Bought",
  preferences: "Preferences",
};

const DETAILS = {
  rendered: [
    { label: "Times", isNumber: true, value: (row) => row.count, text: (row) => count(row.count) },
    { label: "Viewed", isNumber: true, value: (row) => row.viewed, text: (row) => count(row.viewed) },
  ],
  clicked: [{ label: "Times", isNumber: true, value: (row) => row.count, text: (row) => count(row.count) }],
  consumed: [{ label: "To", isNumber: true, value: (row) => row.percentage, text: (row) => `${count(row.percentage)} %` }],
  basket: [{ label: "Price", isNumber: true, text: (row) => (row.price ? money(row.price, row.currency ?? "") : "–") }],
  purchases: [
    { label: "Quantity", isNumber: true, value: (row) => row.quantity, text: (row) => count(row.quantity) },
    { label: "Revenue", isNumber: true, text: (row) => Object.entries(row.revenue).map(([currency, amount]) => money(amount, currency)).join(", ") || "–" },
  ],
  preferences: [
    { label: "Rating", isNumber: true, value: (row) => row.rating, text: (row) => (row.rating === null ? "–" : count(row.rating)) },
    { label: "State", text: (row) => [row.blacklisted && "blacklisted", row.wished && "wished"].filter(Boolean).join(", ") || "–" },
  ],
};

function itemColumns() {
  return [
    { label: "Item", isHeader: true, value: (row) => row.item, render: nameCell((row) => row.item) },
    { label: "Type", isNumber: true, value: (row) => row.itemtype, text: (row) => String(row.itemtype) },
  ];
}

const keyed = (rows) => rows.map((row) => ({ ...row, key: `${row.itemtype}/${row.item}` }));
