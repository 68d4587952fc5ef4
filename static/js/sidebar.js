// On narrow screens the list of chats opens and closes.
const toggle = document.querySelector(".sidebar-toggle");
const sidebar = document.getElementById("sidebar");

toggle.addEventListener("click", () => show(!sidebar.classList.contains("open")));
document.addEventListener("keydown", (event) => { if (event.key === "Escape") show(false); });
document.getElementById("chat").addEventListener("click", (event) => {
  if (!toggle.contains(event.target)) show(false);
});

function show(open) {
  sidebar.classList.toggle("open", open);
  toggle.setAttribute("aria-expanded", String(open));
}
