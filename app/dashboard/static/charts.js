// The charts: click-through rates as lines with bands, and what was shown and clicked as bars. uPlot draws them.

import { announce, h, nameOf } from "./dom.js";
import { count, interval, share, shortCount } from "./numbers.js";
import { DAY } from "./state.js";
import { topOf } from "./windows.js";

const { uPlot } = globalThis; // set by vendor/uPlot.iife.min.js, which runs before all modules
const AXIS_WIDTH = 58; // the same in all charts, so that their times stand below each other
const SYNC = uPlot.sync("time");
const FEW = 40; // so many windows have a point each
const axisPercent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 3 });

/** Return a colour of the style sheet; the theme may have changed. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
export const lineColour = (at) => colour(`line-${at + 1}`);

/** The common part: size, axes, cursor and keyboard. A chart is built again when its shape changes, else only its data. */
export class TimeChart {
  constructor(height, label) {
    this.height = height;
    this.canvas = h("div.plot", { tabindex: "0", role: "group", "aria-label": label, "aria-roledescription": "chart" });
    this.tip = h("div.tip", { hidden: true });
    this.element = h("div.chart", this.canvas, this.tip);
    this.shape = null;
    this.plot = null;
    this.onKeyDown = (event) => this.#key(event);
    this.canvas.addEventListener("keydown", this.onKeyDown);
    this.canvas.addEventListener("blur", () => this.#leave());
    this.watcher = new ResizeObserver(() => this.plot?.setSize({ width: this.#width(), height }));
    this.watcher.observe(this.canvas);
  }

  #width() {
    return Math.max(200, this.canvas.clientWidth);
  }

  /** Draw; `series` names what the series depend on. */
  draw(series, options, data) {
    const shape = `${options.isUtc} ${options.clock.zone} ${series}`;
    if (this.shape === shape) {
      this.plot.setData(data);
      return;
    }
    this.plot?.destroy();
    this.shape = shape;
    this.plot = new uPlot(this.#complete(options), data, this.canvas);
  }

  /** Draw anew at the next call: the theme has changed. */
  forget() {
    this.shape = null;
  }

  #complete({ clock, isUtc, series, bands, bounds, top, bottom = () => 0, values, isLast, sync = { key: SYNC.key }, hooks = {} }) {
    const line = { stroke: colour("grid"), width: 1 };
    const axis = { stroke: colour("muted"), font: "12px system-ui, sans-serif", grid: line, ticks: { ...line, size: 4 } };
    return {
      width: this.#width(),
      height: this.height,
      ms: 1,
      tzDate: (ms) => (isUtc ? uPlot.tzDate(new Date(ms), "Etc/UTC") : new Date(ms)),
      legend: { show: false },
      padding: [8, 22, isLast ? 0 : 7, 0],
      cursor: { drag: { x: false, y: false }, y: false, sync, points: { size: 7 } },
      scales: { x: { range: () => bounds() }, y: { range: () => [bottom(), top()] } },
      axes: [
        {
          ...axis,
          show: isLast,
          size: 28,
          space: 72,
          values: (_, splits, __, ___, step) => splits.map((ms) => this.#label(ms, step, clock, isUtc)),
        },
        { ...axis, size: AXIS_WIDTH, space: 26, values: (_, splits) => splits.map(values) },
      ],
      series: [{}, ...series],
      bands,
      hooks: { ...hooks, setCursor: [(plot) => this.#point(plot)] },
    };
  }

  #label(ms, step, clock, isUtc) {
    const moment = new Date(ms);
    const minutes = isUtc ? moment.getUTCHours() * 60 + moment.getUTCMinutes() : moment.getHours() * 60 + moment.getMinutes();
    return step >= DAY || minutes === 0 ? clock.day(ms) : clock.time(ms);
  }

  #point(plot) {
    const { idx, left } = plot.cursor;
    const words = idx === null || idx === undefined || left < 0 ? null : this.wordsAt(idx);
    // The other charts move with the cursor, but only the one below it says what is there.
    this.tip.hidden = words === null || !(this.canvas.matches(":hover") || this.canvas === document.activeElement);
    if (this.tip.hidden) return;
    this.tip.replaceChildren(...words);
    const room = this.canvas.clientWidth;
    const at = left + AXIS_WIDTH;
    this.tip.style.left = `${Math.min(Math.max(4, at > room / 2 ? at - this.tip.offsetWidth - 14 : at + 14), Math.max(4, room - this.tip.offsetWidth))}px`;
  }

  #key(event) {
    const last = this.plot ? this.plot.data[0].length - 1 : -1;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.#leave();
    if (!(event.key in steps) || last < 0) return;
    event.preventDefault();
    const from = this.at ?? (steps[event.key] > 0 ? -1 : last + 1);
    this.at = Math.min(last, Math.max(0, from + steps[event.key]));
    this.plot.setCursor({ left: this.plot.valToPos(this.plot.data[0][this.at], "x"), top: 10 });
    announce(this.tip.textContent);
  }

  #leave() {
    this.at = null;
    this.plot?.setCursor({ left: -10, top: -10 });
    this.tip.hidden = true;
  }

  destroy() {
    this.watcher.disconnect();
    this.plot?.destroy();
    this.plot = null;
    this.shape = null;
  }
}

/** Return the middles of windows: a rate is that of its whole window. */
const middles = (starts, step_ms) => starts.map((start) => start + step_ms / 2);

/** Lines with bands, one for each scenario. */
export class RateChart extends TimeChart {
  constructor() {
    super(300, "Click-through rate over time. The left and right arrow keys read one window after another. The table below has the same numbers.");
  }

  /** `lines`: { name, line (of lineOf), colour }; `before`: the rates of the span before, at the same places, or null. */
  show({ starts, step_ms, bounds, lines, before, clock, isUtc }) {
    Object.assign(this, { starts, step_ms, bounds, lines, before, clock });
    const data = [middles(starts, step_ms)];
    const series = [];
    const bands = [];
    const plain = { spanGaps: false, points: { show: false } };
    lines.forEach(({ line, colour: stroke }, n) => {
      const first = 1 + n * 4;
      data.push(line.low, line.high, line.done, line.open);
      bands.push({ series: [first + 1, first], fill: `${stroke}26` });
      series.push({ ...plain, stroke: null, width: 0 }, { ...plain, stroke: null, width: 0 });
      series.push({ ...plain, stroke, width: 2 }, { ...plain, stroke, width: 2, dash: [5, 4] });
    });
    if (before !== null) {
      data.push(before);
      series.push({ ...plain, stroke: colour("muted"), width: 1.5, dash: [2, 3], spanGaps: true });
    }
    const shape = JSON.stringify([lines.map(({ name, colour: stroke }) => [name, stroke]), before !== null, step_ms]);
    this.draw(
      shape,
      {
        clock,
        isUtc,
        series,
        bands,
        isLast: true,
        bounds: () => this.bounds,
        top: () => Math.max(topOf(this.lines.map(({ line }) => line)), ...(this.before ?? []).map((value) => (value ?? 0) * 1.1)),
        values: (value) => axisPercent.format(value),
        hooks: { draw: [(plot) => this.#mark(plot)] },
      },
      data,
    );
  }

  /** Mark what lines and bands do not show: windows without neighbours, few windows, and those that were corrected when final. */
  #mark(plot) {
    const context = plot.ctx;
    const unit = devicePixelRatio;
    const { left, top, width, height } = plot.bbox;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.lineWidth = 2 * unit;
    for (const { line, colour: stroke } of this.lines) {
      const rateAt = (at) => line.windows[at]?.ctr_rendered.value ?? null;
      line.windows.forEach((window, at) => {
        if (rateAt(at) === null) return;
        const isAlone = rateAt(at - 1) === null && rateAt(at + 1) === null;
        if (!isAlone && !window.revision && this.starts.length > FEW) return;
        const x = plot.valToPos(this.starts[at] + this.step_ms / 2, "x", true);
        const place = (rate) => plot.valToPos(rate, "y", true);
        const y = place(rateAt(at));
        if (isAlone && window.ctr_rendered.low !== null) {
          context.fillStyle = `${stroke}40`;
          context.fillRect(x - 3 * unit, place(window.ctr_rendered.high), 6 * unit, place(window.ctr_rendered.low) - place(window.ctr_rendered.high));
        }
        context.beginPath();
        if (window.revision) {
          const size = 6 * unit;
          for (const [dx, dy] of [[0, -size], [size, 0], [0, size], [-size, 0]]) context.lineTo(x + dx, y + dy);
          context.closePath();
        } else context.arc(x, y, 4 * unit, 0, 2 * Math.PI);
        context.fillStyle = window.final && !window.revision ? stroke : colour("surface");
        context.strokeStyle = stroke;
        context.setLineDash([]);
        context.fill();
        context.stroke();
      });
    }
    context.restore();
  }

  wordsAt(at) {
    const start = this.starts[at];
    const found = this.lines.filter(({ line }) => line.windows[at] !== null);
    const words = [h("p.tip-time", this.clock.range(start, start + this.step_ms))];
    if (found.length === 0) words.push(h("p", "Nothing was counted."));
    for (const { name, line, colour: stroke } of found) {
      const window = line.windows[at];
      const rate = window.ctr_rendered;
      const state = [window.final ? null : "not final", window.revision ? `corrected, revision ${window.revision}` : null];
      words.push(
        h(
          "p",
          swatch(stroke),
          nameOf(name),
          h("b", ` ${share(rate.value)} `),
          h("span.muted", rate.low === null ? (rate.reason ?? "") : `(${interval(rate.low, rate.high)})`),
          h("span.muted", `${count(window.attributed_clicks)} of ${count(window.rendered)} clicked`),
          h("span.muted", state.filter(Boolean).join(", ")),
        ),
      );
    }
    const earlier = this.before?.[at] ?? null;
    if (earlier !== null) words.push(h("p.muted", `The span before: ${share(earlier)}`));
    return words;
  }
}

/** Bars of one counter; unfinished windows are pale. */
export class BarChart extends TimeChart {
  constructor(label, isLast = false) {
    super(isLast ? 108 : 84, `${label} over time. The table below has the same numbers.`);
    this.label = label;
    this.isLast = isLast;
  }

  /** `sums`: what was counted at each start, or null; `counter`: which of it is drawn. */
  show({ starts, step_ms, bounds, sums, counter, tint, clock, isUtc }) {
    Object.assign(this, { starts, step_ms, bounds, sums, counter, clock });
    const values = sums.map((sum) => sum?.[counter] ?? null);
    const fill = colour(tint);
    const paths = uPlot.paths.bars({ size: [0.86, Infinity, 1] });
    const bar = { paths, width: 1, stroke: fill, points: { show: false } };
    this.draw(
      JSON.stringify([fill, step_ms]),
      {
        clock,
        isUtc,
        series: [{ ...bar, fill }, { ...bar, fill: `${fill}40` }],
        isLast: this.isLast,
        bounds: () => this.bounds,
        top: () => Math.max(1, ...this.sums.map((sum) => sum?.[this.counter] ?? 0)) * 1.1,
        values: (value) => (Number.isInteger(value) ? shortCount(value) : ""),
      },
      [middles(starts, step_ms), values.map((value, at) => (sums[at]?.final ? value : null)), values.map((value, at) => (sums[at]?.final ? null : value))],
    );
  }

  wordsAt(at) {
    const start = this.starts[at];
    const sum = this.sums[at];
    return [
      h("p.tip-time", this.clock.range(start, start + this.step_ms)),
      h("p", `${this.label}: `, h("b", count(sum?.[this.counter] ?? 0)), h("span.muted", sum && !sum.final ? " not final" : "")),
    ];
  }
}

/** Return the patch of colour that stands before a name. */
export function swatch(stroke) {
  const patch = h("span.swatch", { "aria-hidden": "true" });
  patch.style.backgroundColor = stroke;
  return patch;
}
