// Follows a growing reply while the reader is at the end; comes back to the place a chat was left at.
import { $, htmx, onChat, onClick } from "./page.js";

const NEAR = 48; // px from the end that still count as "at the end"
const AHEAD = 800; // px before the top at which earlier messages are fetched
const MANY = 300; // messages
let following = true;
let restoring = false;
let lastTop = 0;
let loading = null;
let held = null;

const grown = new ResizeObserver(follow);

onChat(async (main) => {
  grown.disconnect();
  const place = JSON.parse(sessionStorage.getItem(nameOf(main)));
  following = !place;
  $("scroller").addEventListener("scroll", moved, { passive: true });
  if (place) await restore(place);
  follow();
  grown.observe($("thread"));
  grown.observe($("scroller"));
});

// Only a move upwards is the reader leaving the end; growth between two events looks like one otherwise.
function moved() {
  const { scrollTop } = $("scroller");
  if (!restoring && distance() < NEAR) following = true;
  else if (!restoring && scrollTop < lastTop) following = false;
  lastTop = scrollTop;
  $("jump").hidden = distance() < NEAR;
  if (scrollTop < AHEAD && !following) loadEarlier();
}

function toEnd() {
  following = true;
  follow();
}

// From far up it is quicker to open the chat anew at its end than to keep a thousand messages alive.
onClick("#jump", () => {
  toEnd();
  if ($("thread").children.length < MANY) return;
  const headers = { "HX-History-Restore-Request": "true" };
  htmx.ajax("GET", location.pathname, { target: "#chat", swap: "outerHTML", headers });
});
document.addEventListener("submit", ({ target }) => { if (target.id === "composer") toEnd(); });

function follow() {
  const scroller = $("scroller");
  if (following && !restoring) scroller.scrollTop = scroller.scrollHeight;
  $("jump").hidden = distance() < NEAR;
}

function distance() {
  const { scrollHeight, scrollTop, clientHeight } = $("scroller");
  return scrollHeight - scrollTop - clientHeight;
}

// --- Earlier pages: the message at the top stays where it is

function loadEarlier() {
  const link = $("earlier").querySelector("a");
  if (!link || loading) return loading;
  loading = htmx.ajax("GET", link.href, { target: "#earlier", swap: "outerHTML" });
  return loading.finally(() => { loading = null; });
}

document.addEventListener("htmx:before:swap", ({ detail }) => {
  const before = detail.tasks?.some((task) => task.swapSpec?.style === "afterbegin");
  const first = before && $("thread").querySelector(".message");
  held = first && { first, top: topOf(first) };
});
document.addEventListener("htmx:after:swap", () => {
  if (held) $("scroller").scrollTop += topOf(held.first) - held.top;
  held = null;
});

// --- The place in each chat, for as long as the tab lives

addEventListener("pagehide", remember);
document.addEventListener("htmx:before:request", remember);

function remember() {
  const name = nameOf($("chat"));
  const message = [...document.querySelectorAll(".message")].find((one) => one.getBoundingClientRect().bottom > topOf($("scroller")));
  if (following || !message) return sessionStorage.removeItem(name);
  sessionStorage.setItem(name, JSON.stringify([message.id, topOf(message) - topOf($("scroller"))]));
}

async function restore([id, offset]) {
  restoring = true;
  for (let pages = 0; !$(id) && $("earlier").querySelector("a") && pages < 40; pages += 1) await loadEarlier();
  // Twice: what was not laid out yet has only an estimated height the first time.
  for (let pass = 0; $(id) && pass < 2; pass += 1) {
    $("scroller").scrollTop += topOf($(id)) - topOf($("scroller")) - offset;
    await new Promise(requestAnimationFrame);
  }
  following = !$(id);
  restoring = false;
}

function topOf(element) {
  return element.getBoundingClientRect().top;
}

function nameOf(main) {
  return `place:${main.dataset.conversation}`;
}
