// Submits a code once it is complete, and shows that a form was sent. Without this file the user presses the button.
const code = document.querySelector("input[data-digits]");
let edited = false;

const complete = (text) => {
  const plain = text.replace(/[\s\p{Cf}-]/gu, "");
  return /^\p{Nd}+$/u.test(plain) && [...plain].length === Number(code.dataset.digits);
};

code?.addEventListener("input", (event) => {
  edited ||= event.inputType?.startsWith("delete") ?? false; // a user who corrects a code decides when it is right
  const button = code.form.querySelector("button.main");
  if (edited || !complete(code.value) || !button || button.disabled || code.form.ariaBusy) return;
  code.form.requestSubmit(button);
});

addEventListener("submit", (event) => {
  event.target.ariaBusy = "true";
  event.submitter?.classList.add("busy");
});
// A page from the browser's history is not busy.
addEventListener("pageshow", () => {
  for (const busy of document.querySelectorAll(".busy, [aria-busy]")) {
    busy.classList.remove("busy");
    busy.ariaBusy = null;
  }
});
