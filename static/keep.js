// Two more ways to keep backup codes: the clipboard, where a page may use it, and paper.
const codes = [...document.querySelectorAll("[data-codes] li")].map((item) => item.textContent.trim());
const copy = document.querySelector("[data-copy]");
const print = document.querySelector("[data-print]");

if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(codes.join("\n"));
    document.querySelector("[data-copied]").textContent = copy.dataset.copy;
    copy.textContent = copy.dataset.copy;
  });
}
if (print) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}
