// A table that sorts, searches and pages. Rows keep their elements while numbers move, so focus and selection stay.

import { h, nameOf, newId, setText } from "./dom.js";
import { count } from "./numbers.js";
import { comparing } from "./windows.js";

/**
 * `columns`: { label, value(row), text(row), isNumber, isDescending, render(cell, row), title, isHeader }.
 * A column with `value` sorts; `render` is called with the same cell again when the row's numbers change.
 * `search(row)` returns the text that the search box looks in.
 */
export class DataTable {
  constructor({ caption, columns, sort = null, isDescending = false, pageSize = 25, search = null, empty = "Nothing yet." }) {
    Object.assign(this, { columns, pageSize, search, empty, rows: [], page: 0, needle: "" });
    this.sort = sort;
    this.isDescending = isDescending;
    this.elements = new Map();
    this.body = h("tbody");
    this.heads = columns.map((column, at) => this.#head(column, at));
    const table = h("table", h("caption.sr", caption), h("thead", h("tr", this.heads)), this.body);
    this.scroller = h("div.scroll", { tabindex: "0", role: "region", "aria-label": caption }, table);
    this.note = h("p.empty-note", { hidden: true }, empty);
    this.pager = new Pager((page) => {
      this.page = page;
      this.refresh();
    });
    this.box = search === null ? null : h("input", { type: "search", id: newId("search"), placeholder: "Search", "aria-label": `Search: ${caption}`, maxlength: "256" });
    this.box?.addEventListener("input", () => {
      this.needle = this.box.value.toLowerCase();
      this.page = 0;
      this.refresh();
    });
    this.element = h("div.table", this.box, this.scroller, this.note, this.pager.element);
    this.#showSort();
  }

  /** Show these rows; each has a `key`. */
  show(rows) {
    this.rows = rows;
    this.refresh();
  }

  refresh() {
    const found = this.needle === "" ? [...this.rows] : this.rows.filter((row) => this.search(row).toLowerCase().includes(this.needle));
    const column = this.columns[this.sort];
    if (column) found.sort(comparing(column.value, this.isDescending));
    this.page = this.pager.show(this.page, found.length, this.pageSize);
    this.#fill(found.slice(this.page * this.pageSize, (this.page + 1) * this.pageSize));
    this.note.hidden = found.length > 0;
    setText(this.note, this.rows.length ? "Nothing has this name." : this.empty);
    this.scroller.hidden = found.length === 0;
    if (this.box) this.box.hidden = this.rows.length <= 5 && this.needle === "";
  }

  #fill(rows) {
    const focused = document.activeElement;
    const keys = new Set(rows.map((row) => row.key));
    for (const [key, line] of this.elements) {
      if (keys.has(key)) continue;
      line.remove();
      this.elements.delete(key);
    }
    rows.forEach((row, at) => {
      let line = this.elements.get(row.key);
      if (line === undefined) this.elements.set(row.key, (line = this.#line()));
      if (this.body.children[at] !== line) this.body.insertBefore(line, this.body.children[at] ?? null);
      this.columns.forEach((column, n) => {
        if (column.render) column.render(line.children[n], row);
        else setText(line.children[n], column.text(row));
      });
    });
    // An element that is moved loses the focus.
    if (focused !== document.activeElement && this.body.contains(focused)) focused.focus({ preventScroll: true });
  }

  #line() {
    return h("tr", this.columns.map((column) => (column.isHeader ? h("th", { scope: "row" }) : h(column.isNumber ? "td.number" : "td"))));
  }

  #head(column, at) {
    const className = column.isNumber ? "th.number" : "th";
    if (!column.value) return h(className, { scope: "col", title: column.title }, column.label);
    const button = h("button.sort", { type: "button", title: column.title }, column.label);
    button.addEventListener("click", () => {
      this.isDescending = this.sort === at ? !this.isDescending : (column.isDescending ?? Boolean(column.isNumber));
      this.sort = at;
      this.page = 0;
      this.#showSort();
      this.refresh();
    });
    return h(className, { scope: "col" }, button);
  }

  #showSort() {
    this.heads.forEach((head, at) => {
      if (at === this.sort) head.setAttribute("aria-sort", this.isDescending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }
}

/** The buttons that turn the pages of a long list. */
export class Pager {
  constructor(onPage) {
    this.words = h("span");
    this.back = h("button", { type: "button", onclick: () => onPage(this.page - 1) }, "Previous");
    this.on = h("button", { type: "button", onclick: () => onPage(this.page + 1) }, "Next");
    this.element = h("nav.pager", { "aria-label": "Pages" }, this.back, this.words, this.on);
  }

  /** Show the place in the list; return the page, which is within the list. */
  show(page, length, size) {
    const last = Math.max(0, Math.ceil(length / size) - 1);
    this.page = Math.min(Math.max(0, page), last);
    this.element.hidden = last === 0;
    this.back.disabled = this.page === 0;
    this.on.disabled = this.page === last;
    setText(this.words, `${count(this.page * size + 1)}–${count(Math.min(length, (this.page + 1) * size))} of ${count(length)}`);
    return this.page;
  }
}

/** Return a `render` for a column with a name from outside. */
export function nameCell(textOf) {
  return (cell, row) => {
    const text = textOf(row);
    if (cell.firstChild === null) cell.append(nameOf(text));
    else if (cell.firstChild.title !== text) cell.replaceChildren(nameOf(text));
  };
}
