// Copies backup codes, or the key for an authenticator app, where a page may use the clipboard; and prints codes.
const codes = [...document.querySelectorAll("[data-codes] li")].map((item) => item.textContent.trim());
const key = document.querySelector(".secret bdi")?.textContent.replace(/\s/g, "");
const copy = document.querySelector("[data-copy]");
const print = document.querySelector("[data-print]");

if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(key ?? codes.join("\n"));
    document.querySelector("[data-copied]").textContent = copy.dataset.copy;
    copy.textContent = copy.dataset.copy;
  });
}
// A phone cannot scan its own screen.
const qr = document.querySelector("[data-qr]");
if (qr) qr.open = !matchMedia("(pointer: coarse) and (max-width: 48rem)").matches;
if (print) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}
