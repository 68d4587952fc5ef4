// Follows a growing reply while the reader is at the end, and leaves them alone when they are not.
const scroller = document.getElementById("scroller");
const NEAR = 48; // px from the end that still count as "at the end"
let following = true;

scroller.addEventListener("scroll", () => { following = distance() < NEAR; }, { passive: true });

new ResizeObserver(follow).observe(document.getElementById("thread"));
follow();

function follow() {
  if (following) scroller.scrollTop = scroller.scrollHeight;
}

function distance() {
  return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
}
