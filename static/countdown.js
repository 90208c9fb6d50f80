// Counts down what the server said in whole seconds, so that a wrong clock in the browser does no harm.
// Without it the page shows the local time, and the server refuses what comes too early.
const begun = Date.now();
const seconds = (element, name) => Number(element.dataset[name]) - Math.floor((Date.now() - begun) / 1000);
const clock = (left) => `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const all = (selector) => [...document.querySelectorAll(selector)];

// The region of the browser, as en-GB, where it has the language of the page.
const page = document.documentElement.lang;
const region = navigator.language.startsWith(page) ? navigator.language : page;
for (const time of all("time[data-local]")) {
  const moment = new Date(time.dateTime);
  if (!Number.isNaN(moment.getTime())) {
    write(time, moment.toLocaleTimeString(region, { numberingSystem: "latn", hour: "numeric", minute: "2-digit" }));
  }
}
for (const plain of all("[data-plain]")) plain.remove();

const expiry = document.querySelector("[data-expiry]");
const announce = document.querySelector("[data-announce]");
const resend = document.querySelector("button[value=resend], button[value=send]");
const waits = all("button[data-wait]").map((button) => ({ button, own: button.textContent }));
let before = expiry ? Number(expiry.dataset.expiry) : 0;

// Screen readers speak only these moments.
function speak(left) {
  for (const [mark, text] of [[60, expiry.dataset[60]], [20, expiry.dataset[20]], [0, expiry.dataset.end]]) {
    if (before > mark && left <= mark) write(announce, text);
  }
  before = left;
}

function tick() {
  let going = false;
  for (const { button, own } of waits) {
    const left = seconds(button, "wait");
    button.disabled = left > 0;
    write(button, left > 0 && button.dataset.text ? button.dataset.text.replace("{}", clock(left)) : own);
    going ||= left > 0;
  }
  for (const element of all("[data-left]")) {
    const left = seconds(element, "left");
    const sentence = element.closest("[data-over]");
    if (left > 0) write(element, clock(left));
    else if (sentence) write(sentence, sentence.dataset.over);
    going ||= left > 0;
  }
  if (expiry) {
    const left = Math.max(0, seconds(expiry, "expiry"));
    write(expiry, left ? expiry.dataset.text.replace("{}", clock(left)) : expiry.dataset.end);
    expiry.classList.toggle("ending", left <= 20);
    resend?.classList.toggle("offered", left <= 20 && !resend.disabled);
    speak(left);
    going ||= left > 0;
  }
  if (!going) clearInterval(timer);
}

// Another user at this desk need not wait.
document.getElementById("username")?.addEventListener("input", () => {
  for (const { button } of waits.splice(0)) button.disabled = false;
});

const timer = setInterval(tick, 1000);
tick();
// After sleep, or from the browser's history.
addEventListener("pageshow", tick);
document.addEventListener("visibilitychange", tick);
