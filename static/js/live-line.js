// A growing reply: its time and speed beside "Answering…", and its part for screen readers.
import { $, announce, root, words } from "./page.js";

const CHARS_PER_TOKEN = 4;
let reply = null;
let read = 0;

setInterval(() => {
  document.querySelectorAll(".live-line").forEach(showProgress);
  announceProgress();
}, 500);

function showProgress(line) {
  const now = performance.now();
  line.seen ??= now;
  if ($("connection").textContent) {
    line.from = null;
    line.textContent = words("textKept");
    return;
  }
  const chars = line.closest(".message").querySelector(".message-body").textContent.length;
  line.from ??= [now, chars]; // The first output has no speed.
  const [since, before] = line.from;
  const passed = (now - since) / 1000;
  const elapsed = Math.max(0, Math.floor(line.dataset.now - line.dataset.since + (now - line.seen) / 1000));
  const speed = Math.round((chars - before) / CHARS_PER_TOKEN / passed);
  const speedText = speed > 0 && passed > 1 ? ` · ${words("speed", speed)}` : "";
  line.textContent = `${elapsed} s${speedText}`;
}

function announceProgress() {
  const running = document.querySelector('.message[data-status="running"]');
  if (running && running !== reply) [reply, read] = [running, textOf(running).length];
  if (!reply?.isConnected) return;
  const over = reply !== running;
  const how = root.dataset.announce;
  if (how === "sentences") announce(newSentences(textOf(reply), over));
  if (!over) return;
  if (how === "end") announce(textOf(reply));
  else if (how === "state") announce(reply.querySelector(".state")?.innerText || words("finished"));
  reply = null;
}

function newSentences(text, over) {
  const news = text.slice(read);
  const end = over ? news.length : news.search(/[.!?…:]\s[^.!?…:]*$/) + 1;
  read += end;
  return news.slice(0, end);
}

const textOf = (message) => message.querySelector(".message-body").innerText;
