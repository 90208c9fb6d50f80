// Shows and hides a password, and says when Caps Lock is on. Without this file the field is a plain password field.
for (const button of document.querySelectorAll("[data-reveal]")) {
  const field = document.getElementById(button.dataset.reveal);
  const word = button.firstElementChild;
  const words = [word.textContent, word.dataset.shown];
  const names = [button.ariaLabel, button.dataset.name];
  const show = (visible) => {
    field.type = visible ? "text" : "password";
    button.ariaLabel = names[Number(visible)];
    word.textContent = words[Number(visible)];
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    show(field.type === "password");
    field.focus();
  });
  // Browsers keep what was typed into plain fields; a password leaves the page as one.
  field.form.addEventListener("submit", () => show(false));
}

for (const hint of document.querySelectorAll("[data-caps]")) {
  const field = document.getElementById(hint.dataset.caps);
  const look = (event) => {
    const on = event.getModifierState?.("CapsLock") ?? false;
    const text = on ? hint.dataset.text : "";
    if (hint.textContent !== text) hint.textContent = text;
  };
  field.addEventListener("keydown", look);
  field.addEventListener("keyup", look);
  field.addEventListener("blur", () => { hint.textContent = ""; });
}
