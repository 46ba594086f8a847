// Connects the parts of the page: the address bar, the controls above the views, and the views.

import { ask, now, repeat } from "./api.js";
import { Positions, Variants } from "./dimensions.js";
import { h, panel, setText } from "./dom.js";
import { Experiments } from "./experiments.js";
import { Freshness } from "./freshness.js";
import { Health } from "./health.js";
import { Items } from "./items.js";
import { customerLogin, logOut } from "./login.js";
import { clockIn, count } from "./numbers.js";
import { Overview } from "./overview.js";
import { ScenarioPicker } from "./picker.js";
import { MINUTE, SPANS, VIEWS, bounds, hasSpan, moved, readState, writeState } from "./state.js";
import { Visitor } from "./visitor.js";

const HEALTH_MS = 15_000;
const at = (id) => document.getElementById(id);

class Page {
  constructor(session) {
    this.session = session;
    this.isFirstVisit = location.hash.length <= 1;
    this.wide = false;
    this.state = readState(location.hash);
    this.clock = clockIn(this.state.utc);
    this.freshness = new Freshness(at("freshness"), at("banner"), () => this.clock);
    this.picker = new ScenarioPicker((scenario) => this.change({ ...this.state, scenario, lines: [] }));
    at("scenario").append(this.picker.element);
    this.views = {
      overview: new Overview(this),
      items: new Items(this),
      positions: new Positions(this),
      variants: new Variants(this),
      experiments: new Experiments(this),
      visitor: new Visitor(this),
      health: new Health(this),
    };
    this.#controls();
    addEventListener("hashchange", () => this.#read());
    this.#read();
    if (session.operator) repeat(new AbortController().signal, () => this.#lookAtHealth());
  }

  // --- what the views use ---------------------------------------------------------------------------------------------

  /** Show another state. It becomes a step in the history of the browser unless it replaces the current one. */
  change(state, { replace = false } = {}) {
    const hash = writeState(state);
    if (replace) {
      history.replaceState(null, "", hash);
      this.#read();
    } else if (hash !== location.hash) location.hash = hash;
  }

  fresh(answer) {
    this.freshness.got(answer);
    this.#wrong(null);
  }

  problem(error, hasAnswer) {
    if (error.status === 401) {
      location.reload();
      return;
    }
    if (!hasAnswer) this.#wrong(error);
    if (!hasAnswer && isOver(error)) this.freshness.refused();
    else this.freshness.fail(error.message);
  }

  scenarios(names) {
    this.picker.offer(names);
  }

  health(answer) {
    const alarms = answer.alarms.length;
    at("alarms").hidden = alarms === 0;
    setText(at("alarms"), `${count(alarms)} ${alarms === 1 ? "alarm" : "alarms"}`);
  }

  /** Say which span the numbers are of. */
  describe(answer) {
    const words = answer === null ? "" : `${this.clock.range(answer.from_ms, Math.min(answer.to_ms, answer.as_of_ms ?? answer.to_ms))} (${this.clock.zone})`;
    setText(at("range"), words);
  }

  // --- the state ------------------------------------------------------------------------------------------------------

  #read() {
    const state = readState(location.hash);
    const known = this.session.customers;
    if (state.customer === null || !known.includes(state.customer)) {
      if (known.length === 0) {
        this.#wrong({ message: "The customers file has no customer yet.", status: 404 });
        return;
      }
      this.change({ ...state, customer: known[0] }, { replace: true });
      return;
    }
    if (state.utc !== this.state.utc) this.clock = clockIn(state.utc);
    const before = JSON.stringify({ ...this.state, lines: [], compare: false });
    const isOther = before !== JSON.stringify({ ...state, lines: [], compare: false });
    const old = this.views[this.state.view];
    this.state = state;
    const view = this.views[state.view];
    if (old !== view) old.hide();
    if (isOther || !this.hasView) {
      this.#wrong(null);
      this.freshness.reset(state.until === null || !hasSpan(state.view));
    }
    if (!this.hasView || old !== view) at("view").replaceChildren(view.element);
    this.hasView = true;
    this.#showControls();
    if (old === view && isOther) view.restyle();
    view.show(state);
  }

  #wrong(error) {
    at("wrong").hidden = error === null;
    if (error === null) return;
    const choice = this.state.view === "experiments" ? "experiment or metric" : "span or scenario";
    const words = isOver(error) ? `Choose another ${choice}.` : "The page tries again by itself.";
    at("wrong").replaceChildren(panel("No numbers", { className: ".wrong" }, h("p", error.message), h("p.muted", words)));
  }

  // --- the controls ---------------------------------------------------------------------------------------------------

  #controls() {
    const customer = at("customer");
    customer.append(...this.session.customers.map((id) => h("option", { value: id }, id)));
    customer.addEventListener("change", () => this.change({ ...this.state, customer: customer.value, scenario: null, lines: [], experiment: null }));
    at("spans").append(
      ...Object.entries(SPANS).map(([span, { label, words }]) =>
        h("label", { title: `The last ${words}` }, h("input", { type: "radio", name: "span", value: span, onchange: () => this.change({ ...this.state, span }) }), h("span", label)),
      ),
    );
    at("compare").addEventListener("change", (event) => this.change({ ...this.state, compare: event.target.checked }));
    at("earlier").addEventListener("click", () => this.change(moved(this.state, -1, now())));
    at("later").addEventListener("click", () => this.change(moved(this.state, 1, now())));
    at("now").addEventListener("click", () => this.change({ ...this.state, until: null }));
    at("ask-until").addEventListener("click", () => {
      at("ask-until").hidden = true;
      at("until").hidden = false;
      at("until").value = inputTime(Math.floor(now() / MINUTE) * MINUTE, this.state.utc);
      at("until").focus();
    });
    at("until").addEventListener("change", (event) => {
      const text = event.target.value;
      const until = text === "" ? null : Date.parse(this.state.utc ? `${text}Z` : text);
      this.change({ ...this.state, until: Number.isNaN(until) ? null : until });
    });
    at("zone").addEventListener("click", () => this.change({ ...this.state, utc: !this.state.utc }, { replace: true }));
    at("theme").addEventListener("click", () => this.#nextTheme());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#restyle());
    at("logout").hidden = this.session.loopback;
    at("logout").addEventListener("click", logOut);
    at("views").append(
      ...Object.entries(VIEWS).map(([view, label]) => h("a", { href: "#", "data-view": view }, label, view === "health" ? at("alarms") : null)),
    );
    this.#themeName();
  }

  #showControls() {
    const { state } = this;
    at("customer").value = state.customer;
    this.picker.show(state.scenario);
    const isOfSpan = hasSpan(state.view);
    at("span-controls").hidden = !isOfSpan;
    at("scenario").hidden = !isOfSpan;
    at("compare-control").hidden = state.view !== "overview";
    for (const radio of at("spans").querySelectorAll("input")) radio.checked = radio.value === state.span;
    at("compare").checked = state.compare;
    const isNow = state.until === null;
    at("later").disabled = isNow;
    at("now").hidden = isNow;
    at("ask-until").hidden = !isNow;
    at("until").hidden = isNow;
    at("until").value = isNow ? "" : inputTime(state.until, state.utc);
    setText(at("zone"), state.utc ? "UTC" : "Local time");
    for (const link of at("views").children) {
      link.href = writeState({ ...state, view: link.dataset.view });
      if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const [from, to] = bounds(state, now());
    setText(at("range"), isOfSpan ? `${this.clock.range(from, Math.min(to, now()))} (${this.clock.zone})` : "");
    document.title = [state.view === "experiments" ? state.experiment : state.scenario, VIEWS[state.view], state.customer, "Uptake"].filter(Boolean).join(" · ");
  }

  #nextTheme() {
    const themes = ["system", "light", "dark"];
    const theme = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % 3];
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
      if (theme === "system") localStorage.removeItem("uptake-theme");
      else localStorage.setItem("uptake-theme", theme);
    } catch {
      // Without storage, the choice holds until the page is loaded again.
    }
    this.#restyle();
  }

  #restyle() {
    this.#themeName();
    this.views[this.state.view].restyle();
  }

  #themeName() {
    const theme = document.documentElement.dataset.theme ?? "system";
    setText(at("theme"), { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" }[theme]);
  }

  async #lookAtHealth() {
    if (this.state.view !== "health") {
      try {
        this.health((await ask("/dashboard/health")).answer);
      } catch {
        // The view itself says that nothing answers.
      }
    }
    return HEALTH_MS;
  }
}

/** Whether a question was refused, so that it need not be asked again. */
const isOver = ({ status }) => status === 400 || status === 404;

/** Return a time as an input of type datetime-local takes it. */
function inputTime(ms, isUtc) {
  const shift = isUtc ? 0 : new Date(ms).getTimezoneOffset() * MINUTE;
  return new Date(ms - shift).toISOString().slice(0, 16);
}

// A link to #main would replace the state that the address bar holds.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  at("main").focus();
});

async function start() {
  while (true) {
    try {
      const { answer } = await ask("/dashboard/session");
      at("waiting").remove();
      if (answer.needs_key) at("view").replaceChildren(customerLogin());
      else {
        at("chrome").hidden = false;
        new Page(answer);
      }
      return;
    } catch (error) {
      setText(at("waiting"), `${error.message} The page tries again.`);
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
}

start();
