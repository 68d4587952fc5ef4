// The parameters of the chat follow the chosen model: what it does not allow is hidden, and a value outside of
// its range becomes the nearest one, with a notice. `outbox.js` sends them once they were changed.
import { $, on, onChat, onClick, root, toast, words } from "./page.js";

const fields = () => $("parameters-panel")?.querySelectorAll("[data-parameter]") ?? [];
const mark = () => { $("parameters").dataset.changed = ""; };

function follow() {
  const model = $("model").selectedOptions[0]?.dataset ?? {};
  let wasChanged = false;
  for (const field of fields()) {
    const allowed = model[field.dataset.parameter]?.split(" ");
    const before = field.value;
    field.closest("label").hidden = !allowed;
    if (!allowed) field.value = "";
    else if (field.matches("select")) choose(field, allowed);
    else limit(field, ...allowed.map(Number));
    wasChanged ||= field.value !== before;
  }
  if (!wasChanged) return;
  mark();
  toast(words("clamped"));
}

// The options are in the order of the effort.
function choose(field, allowed) {
  const options = [...field.options];
  for (const option of options) option.hidden = option.disabled = option.value && !allowed.includes(option.value);
  const at = field.selectedIndex;
  if (!options[at]?.disabled) return;
  const distance = (one) => Math.abs(options.indexOf(one) - at);
  const open = options.filter(({ value, disabled }) => value && !disabled);
  field.value = open.sort((one, other) => distance(one) - distance(other))[0]?.value ?? "";
}

function limit(field, least, most) {
  field.min = least;
  field.max = most;
  field.parentNode.querySelector("[data-range]").textContent = `${least.toLocaleString(root.lang)}–${most.toLocaleString(root.lang)}`;
  if (field.value) field.value = Math.min(Math.max(field.valueAsNumber, least), most);
}

onChat(() => { if ($("parameters")) follow(); });
for (const type of ["change", "input"]) {
  on(type, ({ target }) => {
    if (target.id === "model") follow();
    else if (target.dataset.parameter) {
      mark();
      if (type === "change") follow();
    }
  });
}
onClick("#parameters-reset", () => {
  for (const field of fields()) field.value = "";
  mark();
});
