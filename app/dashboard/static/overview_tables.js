// The tables of the overview: the scenarios, and the windows behind the charts.

import { h, nameOf, whisker } from "./dom.js";
import { count, inPoints, interval, share } from "./numbers.js";
import { DataTable, nameCell } from "./table.js";

/**
 * Return the table of scenarios. `overview`: its `state`, `top` (the greatest rate of the bars), `opens(scenario)`, and
 * `draws(scenario, isOn)` for a line in the chart.
 */
export function scenarioTable(overview) {
  return new DataTable({
    caption: "Scenarios",
    sort: 2,
    isDescending: true,
    pageSize: 20,
    search: (row) => row.scenario,
    columns: [
      {
        label: "Line",
        render: (cell, row) => {
          let box = cell.firstChild;
          if (box === null) {
            box = h("input", { type: "checkbox", onchange: () => overview.draws(box.dataset.name, box.checked) });
            cell.append(box);
          }
          box.dataset.name = row.scenario;
          box.disabled = overview.state.scenario !== null;
          if (box.getAttribute("aria-label") !== row.scenario) box.setAttribute("aria-label", `Line of ${row.scenario}`);
          if (box.checked !== row.inChart) box.checked = row.inChart;
        },
      },
      {
        label: "Scenario",
        isHeader: true,
        value: (row) => row.scenario,
        render: (cell, row) => {
          if (cell.firstChild) return;
          const open = () => overview.opens(row.scenario);
          cell.append(h("button.link", { type: "button", onclick: open }, nameOf(row.scenario)));
        },
      },
      { label: "Shown", isNumber: true, value: (row) => row.rendered, text: (row) => count(row.rendered) },
      { label: "Clicked", isNumber: true, value: (row) => row.attributed_clicks, text: (row) => count(row.attributed_clicks) },
      { label: "CTR", isNumber: true, value: (row) => row.ctr.value, text: (row) => share(row.ctr.value) },
      {
        label: "At least",
        isNumber: true,
        title: "The lower bound of the 95 % interval. Sort by it for the best ones",
        value: (row) => row.ctr.low,
        text: (row) => share(row.ctr.low),
      },
      {
        label: "At most",
        isNumber: true,
        title: "The upper bound of the 95 % interval. Sort by it, smallest first, for the worst ones",
        value: (row) => row.ctr.high,
        text: (row) => share(row.ctr.high),
      },
      {
        label: "95 % interval",
        render: (cell, row) => {
          cell.whisker ??= whisker();
          if (!cell.firstChild) cell.append(cell.whisker.element);
          cell.whisker.set(row.ctr, overview.top);
        },
      },
      { label: "Bought", isNumber: true, value: (row) => row.purchases, text: (row) => count(row.purchases) },
      {
        label: "Change",
        isNumber: true,
        title: "Points of CTR against the span before, with the 95 % interval of the difference",
        value: (row) => row.change?.by ?? null,
        text: (row) => (row.change ? `${inPoints(row.change.by)} (${inPoints(row.change.low)} to ${inPoints(row.change.high)})` : "–"),
      },
    ],
  });
}

/** Return the table of the windows behind the charts. */
export function windowTable(clockOf) {
  return new DataTable({
    caption: "Windows of the charts",
    sort: 0,
    isDescending: true,
    pageSize: 20,
    columns: [
      { label: "From", isHeader: true, isDescending: true, value: (row) => row.start_ms, text: (row) => clockOf().full(row.start_ms) },
      { label: "Scenario", value: (row) => row.name, render: nameCell((row) => row.name) },
      { label: "Shown", isNumber: true, value: (row) => row.rendered, text: (row) => count(row.rendered) },
      { label: "Clicked", isNumber: true, value: (row) => row.attributed_clicks, text: (row) => count(row.attributed_clicks) },
      { label: "CTR", isNumber: true, value: (row) => row.ctr_rendered.value, text: (row) => share(row.ctr_rendered.value) },
      { label: "95 % interval", isNumber: true, text: (row) => interval(row.ctr_rendered.low, row.ctr_rendered.high) },
      { label: "State", value: (row) => Number(row.final), text: (row) => (row.final ? "final" : "not final") },
      { label: "Corrected", isNumber: true, value: (row) => row.revision, text: (row) => (row.revision ? `revision ${row.revision}` : "") },
    ],
  });
}
