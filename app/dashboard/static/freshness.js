// Says how fresh the numbers are: live, standing, or stale and since when.

import { now } from "./api.js";
import { h, setText } from "./dom.js";
import { duration } from "./numbers.js";

const SILENCE_MS = 40_000;

/** The mark in the head of the page, and the line below it while something is wrong. */
export class Freshness {
  constructor(mark, banner, clockOf) {
    Object.assign(this, { mark, banner, clockOf });
    this.reset(false);
    setInterval(() => this.#draw(), 1_000);
  }

  /** Another view is shown, and has no answer yet. `isLive`: its numbers move. */
  reset(isLive) {
    Object.assign(this, { isLive, fresh_ms: null, since_ms: null, reason: null, stale_ms: null });
    this.#draw();
  }

  /** An answer arrived. A worker may mark it as old, and the dashboard may repeat the last one. */
  got(answer) {
    this.stale_ms = answer.stale_ms ?? null;
    if (answer.stale_since_ms) {
      this.fail("No worker answers.", answer.stale_since_ms);
      return;
    }
    Object.assign(this, { fresh_ms: now(), since_ms: null, reason: null });
    this.#draw();
  }

  /** The question was refused: there is nothing to wait for. */
  refused() {
    this.reset(false);
    this.got({});
  }

  /** Answers have stopped. */
  fail(reason, since_ms = this.since_ms ?? this.fresh_ms ?? now()) {
    Object.assign(this, { reason, since_ms });
    this.#draw();
  }

  #draw() {
    if (this.isLive && this.since_ms === null && this.fresh_ms !== null && now() - this.fresh_ms > SILENCE_MS && !document.hidden) {
      Object.assign(this, { since_ms: this.fresh_ms, reason: "There is no answer." });
    }
    const clock = this.clockOf();
    const kind = this.since_ms !== null ? "stale" : this.fresh_ms === null ? "loading" : this.isLive ? "live" : "still";
    document.body.dataset.freshness = kind;
    const words = {
      stale: () => `Stale since ${clock.second(this.since_ms)}`,
      loading: () => "Loading",
      live: () => `Live ${clock.second(this.fresh_ms)}`,
      still: () => `Read ${clock.second(this.fresh_ms)}`,
    }[kind]();
    setText(this.mark, words);
    this.mark.className = `freshness ${kind}`;
    this.banner.hidden = kind !== "stale" && this.stale_ms === null;
    if (this.banner.hidden) return;
    const text =
      kind === "stale"
        ? `${this.reason} The numbers are those of ${clock.second(this.since_ms)}, ${duration(now() - this.since_ms)} ago. The page tries again by itself.`
        : `A worker lags: events of the last ${duration(this.stale_ms)} may be missing.`;
    if (!this.banner.firstChild) this.banner.append(h("span"));
    setText(this.banner.firstChild, text);
  }
}
