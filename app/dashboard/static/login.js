// The forms that take a key. The server answers with a cookie that no script can read.

import { ask } from "./api.js";
import { h, newId, panel } from "./dom.js";

/** Return the form for a customer's key. */
export function customerLogin() {
  const customer = h("input", { id: newId("customer"), type: "text", required: true, autocomplete: "username", spellcheck: "false", maxlength: "256" });
  return form("Log in", [["Customer", customer]], "The customer’s API key", (key) => ({ customer: customer.value, key }));
}

/** Return the form for the key that opens the health of the deployment. */
export function operatorLogin() {
  return form("Health of the deployment", [], "The operators’ key (UPTAKE_ADMIN_KEY)", (key) => ({ operator: true, key }));
}

function form(title, fields, keyLabel, bodyOf) {
  const key = h("input", { id: newId("key"), type: "password", required: true, autocomplete: "current-password", maxlength: "512" });
  const problem = h("p.problem", { role: "alert" });
  const button = h("button.primary", { type: "submit" }, "Log in");
  const send = async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.textContent = "";
    try {
      const body = JSON.stringify(bodyOf(key.value));
      await ask("/dashboard/login", { method: "POST", body, headers: { "Content-Type": "application/json" } });
      location.reload();
    } catch (error) {
      problem.textContent = error.message;
      button.disabled = false;
      key.select();
    }
  };
  const rows = [...fields, [keyLabel, key]].map(([label, input]) => h("div.field", h("label", { for: input.id }, label), input));
  return panel(title, { className: ".login" }, h("form", { onsubmit: send }, rows, problem, button));
}

/** Remove the cookies, and show the form again. */
export async function logOut() {
  await ask("/dashboard/logout", { method: "POST" });
  location.reload();
}
