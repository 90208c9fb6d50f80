// Submits a complete code once; shows that a form was sent. Without it the user presses the button.
const code = document.querySelector("[data-digits]");
let edited = false;
code?.addEventListener("input", ({ inputType }) => {
  edited ||= inputType?.startsWith("delete"); // a corrected code waits for its user
  const plain = code.value.replace(/[\s\p{Cf}-]/gu, "");
  const button = code.form.querySelector(".main:enabled:not(.busy)");
  const complete = /^\p{Nd}+$/u.test(plain) && [...plain].length === Number(code.dataset.digits);
  if (complete && button && !edited) code.form.requestSubmit(button);
});
addEventListener("submit", ({ submitter }) => submitter?.classList.add("busy"));
addEventListener("pageshow", () => document.querySelectorAll(".busy").forEach((button) => button.classList.remove("busy")));
