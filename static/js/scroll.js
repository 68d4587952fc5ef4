// Follows a growing reply while the reader is at the end, leaves them alone when they are not, and comes back
// to the place they left a chat at.
import { $, htmx, onChat, onClick } from "./page.js";

const NEAR = 48; // px from the end that still count as "at the end"
let following = true;
let restoring = false;
let lastTop = 0;

const grown = new ResizeObserver(follow);
const reachedTop = new IntersectionObserver(([{ isIntersecting }]) => {
  if (isIntersecting) loadEarlier();
}, { rootMargin: "600px 0px 0px" });

onChat(async (main) => {
  const scroller = $("scroller");
  grown.disconnect();
  reachedTop.disconnect();
  const place = recall(main);
  following = !place;
  scroller.addEventListener("scroll", moved, { passive: true });
  if (place) await restore(place);
  follow();
  grown.observe($("thread"));
  grown.observe(scroller);
  watchTop();
});

// Only a move upwards is the reader leaving the end; growth between two events looks like one otherwise.
function moved() {
  const { scrollTop } = $("scroller");
  if (!restoring && distance() < NEAR) following = true;
  else if (!restoring && scrollTop < lastTop) following = false;
  lastTop = scrollTop;
  $("jump").hidden = distance() < NEAR;
}

onClick("#jump", () => {
  following = true;
  $("scroller").scrollTo({ top: $("scroller").scrollHeight });
  $("jump").hidden = true;
});

document.addEventListener("submit", (event) => {
  if (event.target.id !== "composer") return;
  following = true;
  follow();
});

function follow() {
  const scroller = $("scroller");
  if (following && !restoring) scroller.scrollTop = scroller.scrollHeight;
  $("jump").hidden = distance() < NEAR;
}

function distance() {
  const { scrollHeight, scrollTop, clientHeight } = $("scroller");
  return scrollHeight - scrollTop - clientHeight;
}

// --- Earlier pages: the message at the top stays where it is -------------------------------------------

let loading = null;

function loadEarlier() {
  const link = $("earlier").querySelector("a");
  if (!link || loading) return loading;
  loading = htmx.ajax("GET", link.href, { target: "#earlier", swap: "outerHTML" }).finally(() => {
    loading = null;
    watchTop();
  });
  return loading;
}

let held = null;
document.addEventListener("htmx:before:swap", (event) => {
  const before = event.detail.tasks?.some((task) => task.swapSpec?.style === "afterbegin");
  const first = before && $("thread").querySelector(".message");
  held = first ? { first, top: first.getBoundingClientRect().top } : null;
});
document.addEventListener("htmx:after:swap", () => {
  if (!held) return;
  $("scroller").scrollTop += held.first.getBoundingClientRect().top - held.top;
  held = null;
});

function watchTop() {
  reachedTop.disconnect();
  reachedTop.observe($("earlier"));
}

// --- The place in each chat, for as long as the tab lives ------------------------------------------------

addEventListener("pagehide", remember);
document.addEventListener("htmx:before:request", remember);

function remember() {
  const name = `place:${$("chat").dataset.conversation}`;
  if (following) return sessionStorage.removeItem(name);
  const top = $("scroller").getBoundingClientRect().top;
  const message = [...document.querySelectorAll(".message")].find((one) => one.getBoundingClientRect().bottom > top);
  if (!message) return;
  sessionStorage.setItem(name, JSON.stringify([message.id, message.getBoundingClientRect().top - top]));
}

function recall(main) {
  return JSON.parse(sessionStorage.getItem(`place:${main.dataset.conversation}`));
}

async function restore([id, offset]) {
  restoring = true;
  for (let pages = 0; !$(id) && $("earlier").querySelector("a") && pages < 40; pages += 1) await loadEarlier();
  const message = $(id);
  const top = $("scroller").getBoundingClientRect().top;
  // Twice: what was not laid out yet has only an estimated height the first time.
  for (let pass = 0; message && pass < 2; pass += 1) {
    $("scroller").scrollTop += message.getBoundingClientRect().top - top - offset;
    await new Promise(requestAnimationFrame);
  }
  following = !message;
  restoring = false;
}
