// Shows the test of a provider in its page. Without this script the result is a page of its own.

const button = document.querySelector("[data-test]");
const result = document.getElementById("test-result");

button?.addEventListener("click", async (event) => {
  event.preventDefault();
  if (button.disabled) return;
  button.disabled = true;
  result.textContent = result.dataset.busy;
  try {
    const answer = await fetch(button.formAction, {
      method: "POST",
      body: new FormData(button.form),
      headers: { "X-Requested-With": "fetch" },
    });
    if (!answer.ok) throw new Error(answer.status);
    result.innerHTML = await answer.text();
  } catch {
    result.textContent = result.dataset.lost;
  }
  button.disabled = false;
  button.focus();
});
