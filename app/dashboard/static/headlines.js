// The headline numbers of the overview, and their change against the span before.

import { h, setText, whisker } from "./dom.js";
import { count, difference, inPoints, interval, money, relative, share } from "./numbers.js";
import { SPANS } from "./state.js";

/** The headline numbers. */
export class Headlines {
  constructor() {
    this.interval = whisker();
    this.of = {
      rendered: tile("Shown", "items that were shown"),
      attributed_clicks: tile("Clicked", "shown items that were clicked"),
      ctr: tile("CTR", "95 % interval", this.interval.element),
      purchases: tile("Bought", "purchases that followed a click"),
      revenue: tile("Revenue", "of these purchases"),
      users: tile("Users", ""),
    };
    this.clickers = h("span.tile-note");
    this.of.users.element.append(this.clickers);
    this.of.users.element.classList.add("users");
    this.of.users.element.hidden = true;
    this.element = h("ul.tiles.headlines", { "aria-label": "Headline numbers" }, Object.values(this.of).map((one) => one.element));
  }

  show(sums, earlier, state) {
    const span = SPANS[state.span].words;
    for (const name of ["rendered", "attributed_clicks", "purchases"]) {
      setText(this.of[name].value, count(sums[name]));
      this.of[name].change(earlier && growth(sums[name], earlier[name], span));
    }
    setText(this.of.attributed_clicks.note, sums.clicks === sums.attributed_clicks ? "shown items that were clicked" : `of ${count(sums.clicks)} clicks as sent`);
    setText(this.of.ctr.value, share(sums.ctr.value));
    setText(this.of.ctr.note, sums.ctr.low === null ? "nothing was shown" : `95 %: ${interval(sums.ctr.low, sums.ctr.high)}`);
    this.interval.set(sums.ctr, Math.max(sums.ctr.high ?? 0, earlier?.ctr.high ?? 0) * 1.2);
    this.of.ctr.change(earlier && rateChange(sums.ctr, earlier.ctr, span));
    const amounts = Object.entries(sums.revenue).sort((a, b) => Number(b[1]) - Number(a[1]));
    const [first] = amounts;
    setText(this.of.revenue.value, first ? money(first[1], first[0]) : "–");
    setText(this.of.revenue.note, amounts.length > 1 ? `and ${amounts.slice(1).map(([currency, amount]) => money(amount, currency)).join(", ")}` : "of these purchases");
    this.of.revenue.value.classList.toggle("long", this.of.revenue.value.textContent.length > 9);
    this.of.revenue.change(earlier && first ? growth(Number(first[1]), Number(earlier.revenue[first[0]] ?? 0), span) : null);
  }

  /** Show how many users there were, of a window that knows it; the tile is hidden without one. */
  showUsers(window) {
    const { element, value, note } = this.of.users;
    const { users = null, clickers = null } = window ?? {};
    element.hidden = users === null;
    if (users === null) return;
    setText(value, count(users.value));
    setText(note, `95 %: ${within(users)}, in whole hours`);
    this.clickers.hidden = clickers === null;
    if (clickers !== null) setText(this.clickers, `${count(clickers.value)} clicked (${within(clickers)})`);
  }
}

const within = ({ low, high }) => `${count(low)} to ${count(high)}`;

function tile(label, note, extra = null) {
  const value = h("strong");
  const words = h("span.tile-note", note);
  const movement = h("span.change", { hidden: true });
  const element = h("li.tile", h("span.tile-label", label), value, extra, words, movement);
  return {
    element,
    value,
    note: words,
    change(found) {
      movement.hidden = !found;
      if (!found) return;
      setText(movement, found.text);
      movement.className = `change ${found.tone}`;
    },
  };
}

function growth(current, earlier, span) {
  if (earlier === 0) return { text: current === 0 ? `as in the ${span} before` : `0 in the ${span} before`, tone: "even" };
  const by = current / earlier - 1;
  return { text: `${relative(by)} against the ${span} before`, tone: "even" };
}

function rateChange(current, earlier, span) {
  const found = difference(current, earlier);
  if (found === null) return { text: `no rate in the ${span} before`, tone: "even" };
  const range = `${inPoints(found.low)} to ${inPoints(found.high)} points`;
  if (!found.isClear) return { text: `no clear change against the ${span} before (${range})`, tone: "even" };
  const by = earlier.value > 0 ? relative(found.by / earlier.value) : inPoints(found.by);
  return { text: `${by} against the ${span} before (${range})`, tone: found.by > 0 ? "up" : "down" };
}
