// Beside "Answering…": how long it has taken, and about how fast it comes.
import { root, words } from "./page.js";

const CHARS_PER_TOKEN = 4;
const seen = new WeakMap(); // line -> [ms at first sight, characters at first sight]

setInterval(() => {
  if (document.hidden) return;
  for (const line of document.querySelectorAll(".live-line")) tell(line);
}, 500);

function tell(line) {
  const chars = line.closest(".message").querySelector(".message-body").textContent.length;
  if (!seen.has(line)) seen.set(line, [performance.now(), chars]);
  const [since, before] = seen.get(line);
  const passed = (performance.now() - since) / 1000;
  const elapsed = Math.max(0, Math.floor(line.dataset.now - line.dataset.since + passed));
  const speed = Math.round((chars - before) / CHARS_PER_TOKEN / passed);
  const parts = [`${elapsed.toLocaleString(root.lang)} s`];
  if (speed > 0 && passed > 1) parts.push(words("speed").replace("{}", speed.toLocaleString(root.lang)));
  line.textContent = parts.join(" · ");
}
