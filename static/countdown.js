// Counts down the server's seconds, whatever the browser's clock says.
const begun = Date.now();
const seconds = (element, name) => Number(element.dataset[name]) - Math.floor((Date.now() - begun) / 1000);
const clock = (left) => `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const all = (selector) => [...document.querySelectorAll(selector)];

const page = document.documentElement.lang;
const region = navigator.language.startsWith(page) ? navigator.language : page;
for (const time of all("[data-local]")) {
  const moment = new Date(time.dateTime);
  if (!Number.isNaN(moment.getTime())) {
    write(time, moment.toLocaleTimeString(region, { numberingSystem: "latn", hour: "numeric", minute: "2-digit" }));
  }
}
for (const plain of all("[data-plain]")) plain.remove();

const expiry = document.querySelector("[data-expiry]");
const announce = document.querySelector("[data-announce]");
const again = document.querySelector("[data-again]");
const resend = document.querySelector("[value=resend], [value=send]");
const waits = all("[data-wait]").map((button) => ({ button, own: button.textContent }));
let before = expiry?.dataset.expiry;
let asked = !again;

// Screen readers speak only these moments.
function speak(left) {
  for (const mark of [60, 20, 0]) if (before > mark && left <= mark) write(announce, expiry.dataset[mark]);
  before = left;
}

function tick() {
  let going = false;
  for (const { button, own } of waits) {
    const left = seconds(button, "wait");
    const waited = button.disabled;
    button.disabled = left > 0;
    if (button.dataset.text) write(button, left > 0 ? button.dataset.text.replace("{}", clock(left)) : own);
    if (waited && left <= 0 && document.activeElement.matches("body, h1")) button.focus();
    going ||= left > 0;
  }
  for (const element of all("[data-left]")) {
    const left = seconds(element, "left");
    const sentence = element.closest("[data-over]");
    if (left > 0) write(element, clock(left));
    else write(sentence ?? element, sentence?.dataset.over ?? "");
    going ||= left > 0;
  }
  if (expiry) {
    const left = Math.max(0, seconds(expiry, "expiry"));
    write(expiry, left ? expiry.dataset.text.replace("{}", clock(left)) : expiry.dataset[0]);
    expiry.classList.toggle("ending", left <= 20);
    resend?.classList.toggle("offered", left <= 20 && !resend.disabled);
    speak(left);
    going ||= left > 0;
  }
  if (!asked) {
    going = true;
    asked = seconds(again, "again") <= 0 && !document.getElementById("code")?.value; // typing goes on
    if (asked && navigator.onLine) location.replace(location.href);
  }
  if (!going) clearInterval(timer);
}

// Another user at this desk need not wait.
document.getElementById("username")?.addEventListener("input", () => {
  for (const { button } of waits.splice(0)) button.disabled = false;
});

const timer = setInterval(tick, 1000);
tick();
// After sleep.
addEventListener("pageshow", tick);
document.addEventListener("visibilitychange", tick);
