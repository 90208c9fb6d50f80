// Sends a code as soon as it is complete, once, and shows that a form is on its way. Without this file the button sends.
const code = document.querySelector("input[data-digits]");
let edited = false;

const complete = (text) => {
  const plain = text.replace(/[\s\p{Cf}-]/gu, "");
  return /^\p{Nd}+$/u.test(plain) && [...plain].length === Number(code.dataset.digits);
};

code?.addEventListener("input", (event) => {
  edited ||= event.inputType?.startsWith("delete") ?? false; // somebody who corrects a code decides when it is right
  const button = code.form.querySelector("button.main");
  if (edited || !complete(code.value) || !button || button.disabled || code.form.ariaBusy) return;
  code.form.requestSubmit(button);
});

addEventListener("submit", (event) => {
  event.target.ariaBusy = "true";
  event.submitter?.classList.add("busy");
});
// A page that comes back from the browser's history waits for nothing.
addEventListener("pageshow", () => {
  for (const busy of document.querySelectorAll(".busy, [aria-busy]")) {
    busy.classList.remove("busy");
    busy.ariaBusy = null;
  }
});
