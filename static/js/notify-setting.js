// Turns notifications of this browser on and off. Asks for the permission only when the button is pressed.
const section = document.getElementById("notifications");
const button = section.querySelector("button");
const isOn = () => localStorage.getItem("notify") === "on" && Notification.permission === "granted";

function show() {
  const blocked = Notification.permission === "denied";
  section.querySelector("[role=status]").textContent = section.dataset[blocked ? "blocked" : isOn() ? "on" : "off"];
  button.textContent = button.dataset[isOn() ? "turnOff" : "turnOn"];
  button.hidden = blocked;
}

button.addEventListener("click", async () => {
  const turnOn = !isOn();
  if (turnOn) await Notification.requestPermission();
  localStorage.setItem("notify", turnOn && Notification.permission === "granted" ? "on" : "off");
  show();
});

if ("Notification" in window) {
  section.hidden = false;
  show();
}
