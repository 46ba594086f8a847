// A view with one question, asked again and again. Hidden pages do not ask.

import { LARGE_BYTES, repeat } from "./api.js";

const AGAIN_MS = 10_000;
const LARGE_AGAIN_MS = 60_000;
const FINAL = [400, 401, 404]; // asking again gives the same answer

/**
 * `keyOf(state)`: what the answer depends on. `ask(state, signal)` returns it with its size, `draw(answer)` shows it.
 * A view that is shown again with another key has no answer until the next one arrives.
 */
export class AskedView {
  constructor(context) {
    Object.assign(this, { context, key: null, answer: null });
  }

  show(state) {
    const key = JSON.stringify(this.keyOf(state));
    this.state = state;
    if (key === this.key) {
      this.restyle();
      return;
    }
    this.hide();
    this.key = key;
    this.answer = null;
    this.#mark("loading");
    const { signal } = (this.abort = new AbortController());
    repeat(signal, async () => {
      try {
        const { answer, size } = await this.ask(this.state, signal);
        if (signal.aborted) return null;
        this.answer = answer;
        this.#mark(null);
        this.draw(answer);
        this.context.fresh(answer);
        this.context.describe(answer.from_ms ? answer : null);
        return size > LARGE_BYTES ? LARGE_AGAIN_MS : AGAIN_MS;
      } catch (error) {
        if (signal.aborted) return null;
        this.context.problem(error, this.answer !== null);
        if (!FINAL.includes(error.status)) return AGAIN_MS / 4;
        if (this.answer === null) this.#mark("refused");
        return null;
      }
    });
  }

  hide() {
    this.abort?.abort();
    this.key = null;
  }

  #mark(className) {
    for (const name of ["loading", "refused"]) this.element.classList.toggle(name, name === className);
  }

  /** Draw again: the theme or the zone of times has changed. */
  restyle() {
    if (this.answer) this.draw(this.answer);
  }
}
