// The numbers of one view, kept up to date: a stream where that is cheap, else questions again and again.

import { LARGE_BYTES, LiveAnswers, ask, now, pathOf, repeat } from "./api.js";
import { DAY, SPANS, STEPS, bounds, boundsBefore, spanFor, stepFor, widened } from "./state.js";
import { byScenario, largest } from "./windows.js";

const STREAM_WINDOWS = 6_000; // a stream sends all its windows each second: some 3 MB of JSON at most
const HIDDEN_MS = 30_000;
const USERS_MS = 15_000;
const LINES = 5;
const OLDEST_MS = 9_000 * DAY; // an answer has 10,000 windows at most

/** Return how long to wait before a question is asked again. Final windows hardly change, and large answers cost much. */
function rest(state, answer, size) {
  if (size > LARGE_BYTES) return 60_000;
  if (state.until === null) return 10_000;
  return answer.windows.every((window) => window.final) && answer.windows.length > 0 ? 30_000 : 2_000;
}

/**
 * The feed of the overview.
 *
 * `on.scenarios(answer)`: sums of the span by scenario. `on.windows({ windows, from_ms, to_ms, step_ms, total })`: what the
 * charts show. `on.before({ totals, series })`: the span before. `on.users(window)`: the window that knows how many users there were, or
 * null. `on.problem(error)` and `on.fresh(answer)`: whether it moves.
 */
export class Feed {
  constructor(state, on) {
    Object.assign(this, { state, on, stream: null, isWide: false, scenarios: null, step: null });
    this.abort = new AbortController();
    const { signal } = this.abort;
    repeat(signal, () => this.#askScenarios());
    this.following = new AbortController();
    if (state.compare) repeat(signal, () => this.#askBefore());
    repeat(signal, () => this.#askUsers());
    document.addEventListener("visibilitychange", () => this.#rest(), { signal });
  }

  close() {
    this.abort.abort();
    this.#unfollow();
  }

  #unfollow() {
    this.following.abort();
    this.following = new AbortController();
    this.listen = null;
    this.stream?.close();
    this.stream = null;
  }

  /** Return [from, to) of the view, so that sums and charts are of the same events. */
  #bounds() {
    return widened(bounds(this.state, now()), this.step);
  }

  /** Ask for days of UTC, whatever the zone of the customer: the charts have windows of one length. */
  #ask(parameters) {
    return ask(pathOf(this.state.customer, "ctr", { ...parameters, time_zone: "UTC" }), { signal: this.abort.signal });
  }

  async #guarded(task, rest_ms) {
    try {
      return await task();
    } catch (error) {
      if (this.abort.signal.aborted) return null;
      this.on.problem(error);
      return error.status === 400 || error.status === 401 || error.status === 404 ? null : rest_ms;
    }
  }

  #askScenarios() {
    return this.#guarded(async () => {
      const [from, to] = this.#bounds();
      const { answer, size } = await this.#ask({ from, to });
      const [wasWide, former] = [this.isWide, this.step];
      this.scenarios = byScenario(answer.windows);
      this.step = this.state.step ?? stepFor(this.state.span, this.#clicksOfALine(), former);
      const steps = SPANS[this.state.span].ms / STEPS[this.step].ms;
      this.isWide = this.state.scenario === null && this.scenarios.length * steps > STREAM_WINDOWS;
      this.on.scenarios(answer, this.scenarios);
      this.on.fresh(answer);
      if (former !== this.step || wasWide !== this.isWide) this.#follow();
      if (former !== this.step && size < LARGE_BYTES) return 0; // for the span that these windows cover
      return rest(this.state, answer, size);
    }, 2_000);
  }

  /** Return how many clicks a line of the chart has in the mean. */
  #clicksOfALine() {
    const { scenario, lines } = this.state;
    const names = scenario !== null ? [scenario] : lines.length ? lines : largest(this.scenarios, LINES);
    const rows = this.scenarios.filter((row) => names.includes(row.scenario));
    return rows.reduce((sum, row) => sum + row.attributed_clicks, 0) / Math.max(1, rows.length);
  }

  #follow() {
    this.#unfollow();
    if (this.isWide) repeat(this.following.signal, () => this.#askLines());
    else if (this.state.until !== null) repeat(this.following.signal, () => this.#askWindows());
    else {
      const { customer, span, scenario } = this.state;
      const path = pathOf(customer, "ctr/stream", { span, granularity: this.step, scenario, time_zone: "UTC" });
      this.listen = () => {
        this.stream ??= new LiveAnswers(path, (answer) => this.#got(answer), (error) => this.on.problem(error));
      };
      this.listen();
    }
  }

  #askWindows() {
    return this.#guarded(async () => {
      const [from, to] = bounds(this.state, now());
      const { answer, size } = await this.#ask({ from, to, scenario: this.state.scenario, granularity: this.step });
      this.#got(answer);
      return rest(this.state, answer, size);
    }, 2_000);
  }

  /** Ask for the lines of the chart one by one: together with all other scenarios they would be too much. */
  #askLines() {
    return this.#guarded(async () => {
      const names = this.state.lines.length ? this.state.lines : largest(this.scenarios, LINES);
      const [from, to] = bounds(this.state, now());
      const parts = [];
      for (const scenario of names) {
        parts.push((await this.#ask({ from, to, scenario, granularity: this.step })).answer);
      }
      if (parts.length === 0) return 10_000;
      this.on.windows({ ...parts[0], windows: parts.flatMap((part) => part.windows), isPart: true });
      this.on.fresh(parts[0]);
      return rest(this.state, parts[0], 0);
    }, 2_000);
  }

  #got(answer) {
    if (this.abort.signal.aborted) return;
    this.on.windows(answer);
    this.on.fresh(answer);
  }

  /** Close the stream of a page that nobody has seen for a while: a browser has six connections to a server in all. */
  #rest() {
    clearTimeout(this.resting);
    if (!document.hidden) {
      this.listen?.();
      return;
    }
    this.resting = setTimeout(() => {
      this.stream?.close();
      this.stream = null;
    }, HIDDEN_MS);
  }

  /** Ask for the users of all scenarios or of one: users of several scenarios, or of parts of an hour, cannot be added up. */
  async #askUsers() {
    const [from, to] = widened(bounds(this.state, now()), "PT1H");
    const { scenario } = this.state;
    try {
      const { answer } = await this.#ask({ from, to, users: 1, scenario, by: scenario === null ? "customer" : null });
      this.on.users(answer.windows.length === 1 ? answer.windows[0] : null);
    } catch (error) {
      // The question about scenarios says it if nothing answers.
      if (this.abort.signal.aborted || error.status === 400) return null;
    }
    return USERS_MS;
  }

  #askBefore() {
    return this.#guarded(async () => {
      const { scenario, span } = this.state;
      const { step } = this;
      if (step === null) return 200; // the windows are being chosen
      const [from, to] = this.#bounds();
      const [from_ms, to_ms] = boundsBefore(from, to, now());
      const totals = (await this.#ask({ from: from_ms, to: to_ms })).answer;
      const earlier = { from: from - SPANS[span].ms, to: from, scenario, granularity: step };
      this.on.before({ totals, series: scenario === null ? null : (await this.#ask(earlier)).answer });
      if (step !== this.step) return 0;
      return this.state.until === null ? 60_000 : null;
    }, 10_000);
  }
}

/** Return the state that shows the newest events of a customer; null if there are none at all. */
export async function newest(state, signal) {
  const to = now();
  const parameters = { from: Math.max(0, to - OLDEST_MS), to, granularity: "P1D" };
  const { answer } = await ask(pathOf(state.customer, "ctr", parameters), { signal });
  const last = Math.max(0, ...answer.windows.map((window) => window.end_ms));
  if (last === 0) return null;
  const within = answer.windows.filter((window) => window.start_ms >= last - SPANS.P90D.ms);
  const first = Math.min(...within.map((window) => window.start_ms));
  return { ...state, span: spanFor(last - first), until: last >= to ? null : last };
}
