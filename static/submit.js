// Submits a complete code once, shows that a form was sent, and adapts the field to other codes.
const code = document.getElementById("code");
const ways = [...document.querySelectorAll("[data-way]")];
let edited = false;
code?.addEventListener("input", ({ inputType }) => {
  edited ||= inputType?.startsWith("delete"); // a corrected code waits for its user
  const plain = code.value.replace(/[\s\p{Cf}-]/gu, "");
  const button = code.form.querySelector(".main:enabled:not(.busy)");
  const complete = /^\p{Nd}+$/u.test(plain) && [...plain].length === Number(code.dataset.digits);
  if (complete && button && !edited && !("hold" in code.dataset)) code.form.requestSubmit(button);
});
addEventListener("submit", ({ submitter }) => submitter?.classList.add("busy"));
addEventListener("pageshow", () => document.querySelector(".busy")?.classList.remove("busy"));

function use({ way, label, mode, digits, hint }) {
  code.labels[0].textContent = label;
  document.getElementById("code-hint").textContent = hint;
  code.inputMode = mode;
  code.dataset.digits = digits;
  code.form.way.value = way;
  for (const other of ways) other.hidden = other.dataset.way === way;
}
for (const button of ways) {
  button.onclick = () => {
    use(button.dataset);
    code.select();
  };
}
if (ways.length) use(ways.find((button) => button.dataset.way === code.form.way.value).dataset);
