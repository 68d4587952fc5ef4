// A notification of the browser when a long reply ends while the page is hidden. The first time, the page offers to
// turn them on, but not on a phone, where most browsers show none; the settings page can turn them on too.
import { $, on, toast, touch, words } from "./page.js";

const LONG = 10; // seconds
const begun = new Map(); // replies that run, since when

setInterval(() => {
  const now = Date.now() / 1000;
  const running = new Set();
  for (const reply of document.querySelectorAll('.message[data-status="running"]')) {
    const { since, now: sent } = reply.querySelector(".live-line")?.dataset ?? {};
    running.add(reply.id);
    if (!begun.has(reply.id)) begun.set(reply.id, now - (sent - since || 0));
  }
  for (const [id, since] of begun) {
    if (running.has(id)) continue;
    begun.delete(id);
    if (document.hidden && now - since > LONG) ended($(id));
  }
}, 1000);

function ended(reply) {
  if (!reply) return;
  if (localStorage.getItem("notify") === "on") notify(reply);
  else if (!localStorage.getItem("notify") && !touch.matches) {
    localStorage.setItem("notify-offer", "due"); // it waits for the next visible page, also after a reload
  }
}

function offerOnce() {
  if (document.hidden || !localStorage.getItem("notify-offer")) return;
  localStorage.removeItem("notify-offer");
  if (localStorage.getItem("notify")) return;
  localStorage.setItem("notify", "offered");
  offer();
}
on("visibilitychange", offerOnce);
offerOnce();

function notify(reply) {
  if (Notification.permission !== "granted") return;
  const body = words({ waiting: "approval", complete: "finished" }[reply.dataset.status] ?? "endedEarly");
  try {
    const note = new Notification("Steady", { body, tag: reply.id });
    note.onclick = () => {
      window.focus();
      note.close();
    };
  } catch {
    // Chrome on Android has the class, and throws a TypeError: only a service worker can notify there.
  }
}

function offer() {
  const box = $("offer-notifications").content.firstElementChild.cloneNode(true);
  box.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    box.remove();
    $("prompt")?.focus();
    if ((await Notification.requestPermission()) === "granted") localStorage.setItem("notify", "on");
    else toast(words("notNotified"));
  });
  $("toasts").append(box);
}
