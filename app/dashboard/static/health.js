// The view of the deployment: how much comes in, how far the workers are, and what needs a person.

import { LiveAnswers, ask, pathOf, repeat } from "./api.js";
import { h, panel, setText } from "./dom.js";
import { operatorLogin } from "./login.js";
import { bytes, count, duration, oneDecimal } from "./numbers.js";
import { DataTable, nameCell } from "./table.js";

const REFUSED_MS = 10_000;

export class Health {
  constructor(context) {
    this.context = context;
    this.tiles = h("ul.tiles", { "aria-label": "Health" });
    this.alarms = h("ul.alarms");
    this.workers = new DataTable({
      caption: "Workers",
      empty: "No worker is known.",
      columns: [
        { label: "Worker", isHeader: true, value: (row) => row.url, render: nameCell((row) => row.url) },
        { label: "State", value: (row) => row.state, render: stateCell },
        { label: "Partitions", isNumber: true, value: (row) => row.partitions, text: (row) => count(row.partitions) },
        { label: "Lag", isNumber: true, value: (row) => row.lag, text: (row) => count(row.lag) },
        { label: "Kafka answered", isNumber: true, value: (row) => row.contact_ms, text: (row) => (row.contact_ms === null ? "–" : `${duration(row.contact_ms)} ago`) },
        { label: "Dead letters", isNumber: true, value: (row) => row.deadlettered, text: (row) => count(row.deadlettered) },
        { label: "Restore", text: (row) => row.restore },
      ],
    });
    this.collectors = new DataTable({
      caption: "Collectors",
      empty: "No collector is known.",
      columns: [
        { label: "Collector", isHeader: true, value: (row) => row.url, render: nameCell((row) => row.url) },
        { label: "State", value: (row) => row.state, render: stateCell },
        { label: "Events in the spool", isNumber: true, value: (row) => row.spooled, text: (row) => count(row.spooled) },
        { label: "Size of the spool", isNumber: true, value: (row) => row.bytes, text: (row) => bytes(row.bytes) },
        { label: "Oldest", isNumber: true, value: (row) => row.oldest_ms, text: (row) => duration(row.oldest_ms) },
      ],
    });
    this.partitions = new DataTable({
      caption: "Partitions",
      sort: 0,
      pageSize: 32,
      columns: [
        { label: "Partition", isHeader: true, value: (row) => row.number, text: (row) => String(row.number) },
        { label: "Worker", value: (row) => row.url, render: nameCell((row) => row.url) },
        { label: "State", value: (row) => row.state, render: stateCell },
        { label: "Lag", isNumber: true, value: (row) => row.lag, text: (row) => count(row.lag) },
        { label: "Folded", isNumber: true, value: (row) => row.folded, text: (row) => count(row.folded) },
        { label: "Corrected windows", isNumber: true, value: (row) => row.late, text: (row) => count(row.late) },
        { label: "Complete up to", value: (row) => row.watermark_ms, text: (row) => (row.watermark_ms ? this.context.clock.full(row.watermark_ms) : "–") },
      ],
    });
    this.refused = new DataTable({
      caption: "Refused requests by reason",
      sort: 1,
      isDescending: true,
      empty: "No request of this customer was refused.",
      columns: [
        { label: "Reason", isHeader: true, value: (row) => row.key, render: nameCell((row) => row.key) },
        { label: "Number", isNumber: true, value: (row) => row.number, text: (row) => count(row.number) },
        { label: "What became of it", value: (row) => row.fate, text: (row) => row.fate },
      ],
    });
    this.since = h("p.note");
    this.login = h("div", { hidden: true });
    this.deployment = h(
      "div",
      this.tiles,
      panel("Alarms", {}, this.alarms),
      panel("Workers", {}, this.workers.element),
      panel("Collectors", {}, this.collectors.element),
      panel("Partitions", {}, this.partitions.element),
    );
    this.element = h("div", this.login, this.deployment, panel("Refused requests", { note: this.since }, this.refused.element));
  }

  show(state) {
    if (this.customer === state.customer && this.abort && !this.abort.signal.aborted) return;
    this.hide();
    this.customer = state.customer;
    this.hasAnswer = false;
    this.element.classList.add("loading");
    this.context.describe(null);
    const { signal } = (this.abort = new AbortController());
    this.#askRefused(signal, state.customer);
    const isOperator = this.context.session.operator;
    this.login.hidden = isOperator;
    this.deployment.hidden = !isOperator;
    if (!isOperator) {
      this.element.classList.remove("loading");
      if (!this.login.firstChild) this.login.append(operatorLogin());
      return;
    }
    this.stream = new LiveAnswers(
      "/dashboard/health/stream",
      (answer) => this.#draw(answer),
      (error) => this.context.problem(error, this.hasAnswer),
    );
  }

  #askRefused(signal, customer) {
    repeat(signal, async () => {
      try {
        const { answer } = await ask(pathOf(customer, "refused"), { signal });
        this.#drawRefused(answer);
        if (!this.stream) this.context.fresh(answer);
      } catch (error) {
        if (signal.aborted) return null;
        if (error.status === 401) this.context.problem(error, this.hasAnswer);
        setText(this.since, error.message);
      }
      return REFUSED_MS;
    });
  }

  hide() {
    this.abort?.abort();
    this.stream?.close();
    this.stream = null;
  }

  restyle() {}

  #draw(answer) {
    this.hasAnswer = true;
    this.element.classList.remove("loading");
    this.context.fresh(answer);
    this.context.health(answer);
    const workers = answer.workers.map(workerRow);
    const collectors = answer.collectors.map(collectorRow);
    const oldest = Math.max(-1, ...workers.map((row) => row.contact_ms ?? -1));
    this.#showTiles([
      ["Events per second", oneDecimal(answer.events_per_s), `folded; ${oneDecimal(answer.accepted_per_s)} accepted over HTTP`],
      ["Lag", count(answer.lag), "records not yet durable"],
      ["Freshness", oldest < 0 ? "–" : duration(oldest), "since Kafka last answered"],
      ["Spool", count(answer.spooled), "events that wait for Kafka"],
      ["Dead letters", count(answer.deadlettered), "since the partitions were opened"],
    ]);
    this.#showAlarms(answer);
    this.workers.show(workers);
    this.collectors.show(collectors);
    this.partitions.show(answer.workers.flatMap(partitionRows));
  }

  #showTiles(tiles) {
    if (this.tiles.children.length !== tiles.length) {
      this.tiles.replaceChildren(...tiles.map(([label]) => h("li.tile", h("span.tile-label", label), h("strong"), h("span.tile-note"))));
    }
    tiles.forEach(([, value, note], at) => {
      setText(this.tiles.children[at].children[1], value);
      setText(this.tiles.children[at].children[2], note);
    });
  }

  #showAlarms(answer) {
    const lines = [
      ...answer.alarms.map(({ url, alarm, message }) => ["alarm", alarm, `${url}: ${message}`]),
      ...(answer.warnings ?? []).map(({ url, message }) => ["warning", "warning", `${url}: ${message}`]),
    ];
    const key = JSON.stringify(lines);
    if (key === this.alarmKey) return;
    this.alarmKey = key;
    this.alarms.replaceChildren(
      ...(lines.length ? lines.map(([kind, label, text]) => h(`li.${kind}`, h("b", label.replaceAll("_", " ")), " ", h("bdi", text))) : [h("li.well", "No alarm: nothing needs a person.")]),
    );
  }

  #drawRefused(answer) {
    const rows = (counts, fate) => Object.entries(counts ?? {}).map(([key, number]) => ({ key, number, fate }));
    this.refused.show([...rows(answer.refused, "refused"), ...rows(answer.recorded_without, "recorded without the value")]);
    setText(this.since, answer.since_ms ? `since ${this.context.clock.full(answer.since_ms)}` : "since the collectors started");
  }
}

const STATES = { ready: "ready", waits: "not ready", silent: "no answer" };

function stateCell(cell, row) {
  cell.mark ??= h("span.state");
  if (!cell.firstChild) cell.append(cell.mark);
  cell.mark.className = `state ${row.state}`;
  setText(cell.mark, STATES[row.state]);
}

const stateOf = (status) => (status === null ? "silent" : status.ready ? "ready" : "waits");

function workerRow({ url, status }) {
  const partitions = Object.values(status?.partitions ?? {});
  const restoring = status?.restoring;
  return {
    key: url,
    url,
    state: stateOf(status),
    partitions: status ? partitions.length : null,
    lag: status?.lag ?? null,
    contact_ms: status?.kafka_contact_ms ?? null,
    deadlettered: status ? partitions.reduce((all, one) => all + (one.deadlettered ?? 0), 0) : null,
    restore: restoring ? `${count(restoring.done)} of ${count(restoring.records)}, ${restoring.seconds_left === null ? "?" : duration(restoring.seconds_left * 1000)} left` : "–",
  };
}

function collectorRow({ url, status }) {
  const spool = status?.spool ?? null;
  return {
    key: url,
    url,
    state: stateOf(status),
    spooled: spool?.events ?? null,
    bytes: spool?.bytes ?? null,
    oldest_ms: spool?.oldest_seconds === undefined ? null : spool.oldest_seconds * 1000,
  };
}

function partitionRows({ url, status }) {
  return Object.entries(status?.partitions ?? {}).map(([number, one]) => ({
    key: Number(number),
    number: Number(number),
    url,
    state: stateOf(one),
    lag: one.lag ?? null,
    folded: one.folded ?? null,
    late: one.late ?? null,
    watermark_ms: one.watermark_ms ?? null,
  }));
}
