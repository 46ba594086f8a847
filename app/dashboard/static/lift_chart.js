// The chart of an experiment: the lift of each variant over time, with its confidence sequence and a line at zero.

import { TimeChart, colour, swatch } from "./charts.js";
import { h, nameOf } from "./dom.js";
import { lift } from "./numbers.js";

const FEW = 40; // so many steps have a point each
const axisPercent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1, signDisplay: "exceptZero", useGrouping: false });

export class LiftChart extends TimeChart {
  constructor() {
    super(280, "Lift over the baseline, over time. The left and right arrow keys read one step after another. The table below has the same numbers.");
  }

  /** `ends`: the times of the steps; `lines`: { name, lifts, colour }; `range`: of the lifts; `bounds`: of the times. */
  show({ ends, lines, range, bounds, clock, isUtc }) {
    Object.assign(this, { ends, lines, range, bounds, clock });
    const data = [ends];
    const series = [];
    const bands = [];
    lines.forEach(({ lifts, colour: stroke }, n) => {
      const first = 1 + n * 3;
      for (const name of ["low", "high", "value"]) data.push(lifts.map((each) => each?.[name] ?? null));
      bands.push({ series: [first + 1, first], fill: `${stroke}26` });
      const edge = { stroke: `${stroke}80`, width: 1, points: { show: false } };
      series.push({ ...edge }, { ...edge }, { stroke, width: 2, points: { show: ends.length <= FEW, size: 6, fill: stroke } });
    });
    this.draw(
      JSON.stringify([lines.map(({ name, colour: stroke }) => [name, stroke]), ends.length <= FEW]),
      {
        clock,
        isUtc,
        series,
        bands,
        isLast: true,
        sync: {},
        bounds: () => this.bounds,
        bottom: () => this.range[0],
        top: () => this.range[1],
        values: (value) => axisPercent.format(value),
        hooks: { drawAxes: [(plot) => this.#zero(plot)], draw: [(plot) => this.#alone(plot)] },
      },
      data,
    );
  }

  #zero({ ctx, bbox, valToPos }) {
    const y = Math.round(valToPos(0, "y", true));
    ctx.save();
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.strokeStyle = colour("text");
    ctx.stroke();
    ctx.restore();
  }

  /** Draw the intervals of steps without neighbours: a band needs two. */
  #alone({ ctx, bbox, valToPos }) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const { lifts, colour: stroke } of this.lines) {
      ctx.fillStyle = `${stroke}40`;
      lifts.forEach((each, at) => {
        if (!each || lifts[at - 1] || lifts[at + 1]) return;
        const [low, high] = [each.low, each.high].map((value) => valToPos(value, "y", true));
        ctx.fillRect(valToPos(this.ends[at], "x", true) - 3 * devicePixelRatio, high, 6 * devicePixelRatio, low - high);
      });
    }
    ctx.restore();
  }

  wordsAt(at) {
    const words = this.lines.map(({ name, lifts, colour: stroke }) => h("p", swatch(stroke), nameOf(name), h("b", ` ${lifts[at] ? lift(lifts[at]) : "no lift yet"}`)));
    return [h("p.tip-time", `until ${this.clock.full(this.ends[at])}`), ...words];
  }
}
