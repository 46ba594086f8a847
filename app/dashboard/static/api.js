// Questions to the dashboard's server, and the stream of its answers.

const ANSWER_MS = 20_000;
const REOPEN_MS = 2_000;
const SILENCE_MS = 25_000; // the server repeats an answer that has not changed every 10 s
const SKEW_MS = 5_000; // the Date header has whole seconds, so a smaller difference says nothing

/** Answers that are larger cost a worker and the page much, so they are asked for rarely. */
export const LARGE_BYTES = 1_000_000;

let skew_ms = 0;

/** Return the server's time. The clock of a reader's machine may be wrong. */
export const now = () => Date.now() + skew_ms;

/** An answer that is not the data that was asked for; `status` 0: there was no answer. */
export class ProblemError extends Error {
  constructor(status, code, detail) {
    super(detail);
    Object.assign(this, { status, code });
  }
}

/** Return the JSON of an answer, and its size; throw ProblemError. */
export async function ask(path, { signal, ...options } = {}) {
  const timeout = AbortSignal.timeout(ANSWER_MS);
  let response;
  let text;
  try {
    response = await fetch(path, {
      ...options,
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      credentials: "same-origin",
      cache: "no-store",
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ProblemError(0, "unreachable", "The dashboard does not answer.");
  }
  noteTime(response.headers.get("Date"));
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = {};
  }
  if (!response.ok) {
    const detail = answer.detail ?? answer.sentence ?? `The dashboard answered ${response.status}.`;
    throw new ProblemError(response.status, answer.error ?? answer.code ?? "unknown", detail);
  }
  return { answer, size: text.length };
}

function noteTime(date) {
  const server_ms = Date.parse(date ?? "");
  if (Number.isNaN(server_ms)) return;
  const difference_ms = server_ms - Date.now();
  skew_ms = Math.abs(difference_ms) > SKEW_MS ? difference_ms : 0;
}

/** Return the path of a customer's data. */
export function pathOf(customer, rest, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined) query.set(name, value);
  }
  const text = query.toString();
  return `/dashboard/${encodeURIComponent(customer)}/${rest}${text ? `?${text}` : ""}`;
}

/**
 * A stream that opens again until it is closed.
 * `onData` gets each answer. `onProblem` gets a ProblemError when answers stop.
 */
export class LiveAnswers {
  constructor(path, onData, onProblem) {
    Object.assign(this, { path, onData, onProblem });
    this.source = null;
    this.timer = 0;
    this.open();
  }

  open() {
    const source = (this.source = new EventSource(this.path));
    this.#expect();
    source.onmessage = (event) => {
      this.#expect();
      this.onData(JSON.parse(event.data));
    };
    source.addEventListener("problem", (event) => {
      const { error, detail } = JSON.parse(event.data);
      this.onProblem(new ProblemError(503, error, detail));
    });
    source.onerror = () => {
      const isOver = source.readyState === EventSource.CLOSED;
      this.onProblem(new ProblemError(0, "unreachable", "The connection is lost."));
      // The browser opens a stream again that broke, but not one that was refused.
      if (isOver && this.source === source) this.timer = setTimeout(() => this.open(), REOPEN_MS);
    };
  }

  /** A connection may be dead without an end: open another one after a long silence. */
  #expect() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => {
      this.onProblem(new ProblemError(0, "unreachable", "The dashboard is silent."));
      this.source?.close();
      this.open();
    }, SILENCE_MS);
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.source?.close();
    this.source = null;
  }
}

/** Call a function now, and again so many milliseconds after each end, until the signal is aborted. Hidden pages wait. */
export async function repeat(signal, task) {
  while (!signal.aborted) {
    const rest_ms = await task();
    if (rest_ms === null || signal.aborted) return;
    await pause(rest_ms, signal);
    while (document.hidden && !signal.aborted) await shown(signal);
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

function shown(signal) {
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true });
    signal.addEventListener("abort", resolve, { once: true });
  });
}
