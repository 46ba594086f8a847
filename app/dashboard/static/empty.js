// What the page says when there are no events yet: what to send, with commands for this host.

import { h, panel } from "./dom.js";
import { SPANS } from "./state.js";

/** Return the panel; `older` is the state that shows the newest events, or null if there are none at all. */
export function emptyPanel(context, state, older) {
  const { clock } = context;
  const children = [];
  if (older !== null && older.until !== null) {
    const day = clock.range(older.until - SPANS[older.span].ms, older.until);
    children.push(
      h("p", "There are older events."),
      h("p", h("button.primary", { type: "button", onclick: () => context.change(older) }, `Show ${day}`)),
    );
  } else if (older !== null && older.span !== state.span) {
    children.push(h("p", h("button.primary", { type: "button", onclick: () => context.change(older) }, `Show the last ${SPANS[older.span].words}`)));
  }
  const base = `${context.session.collector ?? location.origin}/api/${encodeURIComponent(state.customer)}`;
  children.push(
    h("p", "Send an event when a visitor sees recommended items, and one when the visitor clicks one of them:"),
    command(`curl -i '${base}/rendered/you/1/11,12?scenario=mine'`),
    command(`curl -i '${base}/clickrecommended/you/1/12?scenario=mine'`),
    h("p.muted", "The numbers appear here within two seconds. There is no need to load the page again."),
  );
  const title = older === null ? "No events yet" : "No events in this span";
  return panel(title, { className: ".empty" }, ...children);
}

/** Return a command with a button that copies it. */
export function command(text) {
  const button = h("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it"; // a page that came over plain HTTP may not copy
    }
  });
  return h("div.command", h("pre", { tabindex: "0" }, h("code", text)), button);
}
