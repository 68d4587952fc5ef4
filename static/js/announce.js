// Reads a reply to those who listen, as they prefer: its sentences as they come, the whole at its end, or only
// that it began and ended. The growing text itself is not a live region.
import { $, root, words } from "./page.js";

let reply = null;
let read = 0;

setInterval(() => {
  const running = document.querySelector('.message[data-status="running"]');
  if (running && running !== reply) [reply, read] = [running, textOf(running).length];
  if (!reply?.isConnected) reply = null;
  if (!reply) return;
  const over = reply.dataset.status !== "running" && reply.dataset.status !== "queued";
  if (root.dataset.announce === "sentences") say(sentences(textOf(reply), over));
  if (!over) return;
  if (root.dataset.announce === "end") say(textOf(reply));
  else if (root.dataset.announce === "state") say(reply.querySelector(".state")?.innerText || words("finished"));
  reply = null;
}, 700);

function sentences(text, over) {
  const fresh = text.slice(read);
  const end = over ? fresh.length : fresh.search(/[.!?…:]\s[^.!?…:]*$/) + 1;
  read += end;
  return fresh.slice(0, end);
}

function textOf(message) {
  return message.querySelector(".message-body").innerText;
}

function say(text) {
  if (text.trim()) $("reader").textContent = text;
}
