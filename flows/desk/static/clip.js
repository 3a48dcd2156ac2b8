// One file: how far its examinations are, and where it plays. Corrections are in review.js.
import { send } from "./desk.js";
import { openReview } from "./review.js";

const data = JSON.parse(document.getElementById("data").textContent);
const player = document.getElementById("player");
const address = `/api/clips/${data.sha256}/examinations`;
const pollMilliseconds = 400;

// Examinations.
async function follow() {
  let answer;
  try {
    answer = await (await fetch(address)).json();
  } catch {
    window.setTimeout(follow, 5 * pollMilliseconds); // the desk may come back
    return;
  }
  const pending = answer.examinations.filter((each) => each.state === "waiting" || each.state === "running");
  for (const each of answer.examinations) {
    show(each);
  }
  const watched = document.querySelectorAll("#examinations li[data-model]:not([data-failed])").length;
  if (pending.length > 0) {
    window.setTimeout(follow, pollMilliseconds);
  } else if (watched > 0) {
    window.location.reload();
  }
}

function show(examination) {
  const item = document.querySelector(`#examinations li[data-model="${examination.model}"]`);
  if (item === null) {
    return;
  }
  item.toggleAttribute("data-failed", examination.state === "failed");
  item.querySelectorAll(".steps li").forEach((step, index) => {
    step.classList.toggle("done", index < examination.num_steps_done);
    const current = examination.state === "running" && index === examination.num_steps_done;
    step.toggleAttribute("aria-current", current);
    if (current) {
      step.setAttribute("aria-current", "step");
    }
  });
  const said = item.querySelector(".said");
  const text = examination.error || (examination.state === "running" ? examination.step : examination.state);
  if (said.textContent !== text) {
    said.textContent = text;
  }
}

document.getElementById("examine").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await send(address, { models: [document.getElementById("model").value] });
    window.location.reload();
  } catch (error) {
    document.getElementById("examine-said").textContent = error.message;
  }
});

if (document.querySelector("#examinations li[data-model]")) {
  follow();
}

// Playing.
function seek(seconds) {
  player.currentTime = seconds;
  movePlayhead();
}

function movePlayhead() {
  const percent = `${Math.min(100, (100 * player.currentTime) / data.duration)}%`;
  for (const line of document.querySelectorAll(".playhead")) {
    line.setAttribute("x1", percent);
    line.setAttribute("x2", percent);
  }
  if (!player.paused) {
    requestAnimationFrame(movePlayhead);
  }
}

if (player !== null) {
  for (const name of ["play", "seeked", "timeupdate"]) {
    player.addEventListener(name, movePlayhead);
  }
  player.addEventListener("error", () => {
    player.hidden = true;
    document.getElementById("player-said").textContent = "This browser cannot play the file; the report shows its pictures.";
  });
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-seek]");
    const plot = event.target.closest("#timeline .plot");
    if (target !== null) {
      seek(Number(target.dataset.seek));
    } else if (plot !== null) {
      const box = plot.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * data.duration);
    }
  });
  document.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && event.target.matches(".segment")) {
      event.preventDefault();
      seek(Number(event.target.dataset.seek));
    }
  });
  openReview(data, player);
}
