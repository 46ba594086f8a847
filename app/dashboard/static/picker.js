// The list of a customer's scenarios: it searches and pages, because there may be ten thousand.

import { h, nameOf, newId, setText } from "./dom.js";
import { count } from "./numbers.js";
import { Pager } from "./table.js";

const PAGE = 12;
const ALL = "All scenarios";

/** A button that opens a dialog with the list. `onChosen` gets a name, or null for all. */
export class ScenarioPicker {
  constructor(onChosen) {
    this.onChosen = onChosen;
    this.names = [];
    this.chosen = null;
    this.page = 0;
    this.label = nameOf(ALL);
    const id = newId("picker");
    this.button = h("button.picker", { type: "button", "aria-haspopup": "dialog", onclick: () => this.open() }, h("span.sr", "Scenario: "), this.label);
    this.box = h("input", { type: "search", placeholder: "Search", "aria-label": "Search the scenarios", maxlength: "256", dir: "auto", oninput: () => ((this.page = 0), this.#fill()) });
    this.list = h("ul.choices", { onkeydown: (event) => this.#key(event) });
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.note = h("p.note");
    this.pager = new Pager((page) => {
      this.page = page;
      this.#fill();
    });
    this.dialog = h(
      "dialog",
      { "aria-labelledby": id },
      h("div.dialog-head", h("h2", { id }, "Scenario"), h("button", { type: "button", onclick: () => this.dialog.close() }, "Close")),
      this.box,
      this.list,
      this.note,
      this.pager.element,
    );
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.element = h("div.control", this.button, this.dialog);
  }

  show(chosen) {
    this.chosen = chosen;
    setText(this.label, chosen ?? ALL);
    this.label.title = chosen ?? ALL;
  }

  /** Take the names that had events in the span. */
  offer(names) {
    this.names = [...names].sort(new Intl.Collator(undefined, { numeric: true }).compare);
    if (this.dialog.open && !this.list.contains(document.activeElement)) this.#fill();
  }

  open() {
    this.box.value = "";
    this.page = 0;
    this.#fill();
    this.dialog.showModal();
    this.box.focus();
  }

  #fill() {
    const needle = this.box.value.toLowerCase();
    const found = this.names.filter((name) => name.toLowerCase().includes(needle));
    this.page = this.pager.show(this.page, found.length, PAGE);
    const shown = found.slice(this.page * PAGE, (this.page + 1) * PAGE);
    const choose = (name) => () => {
      this.dialog.close();
      this.onChosen(name);
    };
    const choice = (name, text) =>
      h("li", h("button.choice", { type: "button", "aria-current": name === this.chosen ? "true" : null, onclick: choose(name) }, nameOf(text)));
    // A scenario without events in this span can still be asked for.
    const typed = this.box.value !== "" && !this.names.includes(this.box.value) ? [choice(this.box.value, this.box.value)] : [];
    this.list.replaceChildren(...(needle === "" ? [choice(null, ALL)] : []), ...shown.map((name) => choice(name, name)), ...(shown.length ? [] : typed));
    setText(this.note, found.length ? `${count(found.length)} scenarios had events in this span.` : "No scenario of this name had events in this span.");
  }

  #key(event) {
    const buttons = [this.box, ...this.list.querySelectorAll("button")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" && event.target === this.box) buttons[1]?.click();
    if (step === undefined) return;
    event.preventDefault();
    const at = buttons.indexOf(document.activeElement) + step;
    buttons[Math.min(Math.max(at, 0), buttons.length - 1)].focus();
  }
}
