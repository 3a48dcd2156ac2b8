"use strict";
(() => {
  const timeline = document.getElementById("timeline");
  const duration = Number(timeline.dataset.duration);
  const stage = document.getElementById("stage");
  const player = document.getElementById("player");
  const note = document.getElementById("player-note");
  const spoken = document.getElementById("spoken");
  const largestChecked = 1 << 29;
  const remarks = { identity: "", playing: "" };
  let address = null;

  // One segment selected at a time, shown in the time line and in the table.
  function select(key, from) {
    for (const element of document.querySelectorAll(".selected")) {
      element.classList.remove("selected");
    }
    for (const button of document.querySelectorAll("[aria-pressed=true]")) {
      button.setAttribute("aria-pressed", "false");
    }
    spoken.textContent = "";
    if (key === null) {
      return;
    }
    for (const element of document.querySelectorAll(`[data-key="${key}"]`)) {
      element.classList.add("selected");
    }
    const mark = document.getElementById(`mark-${key}`);
    const row = document.getElementById(`row-${key}`);
    mark.setAttribute("aria-pressed", "true");
    row.querySelector(".pick").setAttribute("aria-pressed", "true");
    spoken.textContent = mark.getAttribute("aria-label");
    if (from !== "stage") {
      (from === "table" ? mark.closest(".lane") : row).scrollIntoView({ block: "nearest" });
    }
    seek(Number(mark.dataset.start));
  }

  function seek(seconds) {
    if (!stage.hidden) {
      player.currentTime = seconds;
      showNow(seconds);
    }
  }

  function moveAlong(mark, step) {
    const marks = [...mark.closest(".plot").querySelectorAll(".segment")];
    const next = marks[marks.indexOf(mark) + step];
    if (next) {
      next.focus();
    }
  }

  timeline.addEventListener("click", (event) => {
    const marked = event.target.closest("[data-key]");
    const plot = event.target.closest(".plot");
    if (marked) {
      select(marked.dataset.key, "timeline");
    } else if (plot) {
      select(null);
      const box = plot.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * duration);
    }
  });

  timeline.addEventListener("keydown", (event) => {
    if (!event.target.matches(".segment")) {
      return;
    }
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      select(event.target.dataset.key, "timeline");
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      moveAlong(event.target, event.key === "ArrowRight" ? 1 : -1);
    }
  });

  for (const row of document.querySelectorAll("tr.row")) {
    row.addEventListener("click", () => select(row.dataset.key, "table"));
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      select(null);
    }
  });

  // What the stage says beside the picture.
  const marks = [...document.querySelectorAll(".segment")].sort((one, other) => one.dataset.start - other.dataset.start);

  function showNow(seconds) {
    document.getElementById("now-time").textContent = `${seconds.toFixed(2)} s`;
    const covering = marks.filter((mark) => mark.dataset.start <= seconds && seconds < mark.dataset.end);
    const list = document.getElementById("now-segments");
    const said = covering.map((mark) => mark.getAttribute("aria-label"));
    if (list.dataset.said === said.join("\n")) {
      return;
    }
    list.dataset.said = said.join("\n");
    list.replaceChildren(...said.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }

  function toNeighbour(step) {
    const now = player.currentTime;
    const starts = marks.map((mark) => Number(mark.dataset.start));
    const next = step > 0 ? starts.findIndex((start) => start > now + 0.01) : starts.findLastIndex((start) => start < now - 0.3);
    if (next >= 0) {
      select(marks[next].dataset.key, "stage");
    }
  }

  document.getElementById("previous-segment").addEventListener("click", () => toNeighbour(-1));
  document.getElementById("next-segment").addEventListener("click", () => toNeighbour(1));
  for (const name of ["previous-segment", "next-segment"]) {
    document.getElementById(name).hidden = marks.length === 0;
  }

  // The page names the examined file; a reader may choose a copy, and is told whether it is the one that was examined.
  function movePlayhead() {
    const percent = `${Math.min(100, (100 * player.currentTime) / duration)}%`;
    for (const line of document.querySelectorAll(".playhead")) {
      line.setAttribute("x1", percent);
      line.setAttribute("x2", percent);
    }
    showNow(player.currentTime);
    if (!player.paused) {
      requestAnimationFrame(movePlayhead);
    }
  }

  async function comparison(file) {
    const other = "This is not the file that was examined: ";
    if (file.size !== Number(timeline.dataset.size)) {
      return other + "its size differs.";
    }
    if (!window.crypto || !crypto.subtle || file.size > largestChecked) {
      return "The size is that of the examined file; its SHA-256 was not compared.";
    }
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
    const text = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return text === timeline.dataset.sha256
      ? "This is the file that was examined: its SHA-256 agrees."
      : other + "its SHA-256 differs.";
  }

  function remark(said) {
    Object.assign(remarks, said);
    note.textContent = `${remarks.identity} ${remarks.playing}`.trim();
  }

  document.getElementById("player-choice").hidden = false;
  document.getElementById("player-file").addEventListener("change", async (event) => {
    const file = event.target.files[0];
    if (!file) {
      return;
    }
    if (address !== null) {
      URL.revokeObjectURL(address);
    }
    address = URL.createObjectURL(file);
    player.src = address;
    stage.hidden = false;
    timeline.classList.add("playing");
    remark({ identity: "Comparing the file with the one that was examined.", playing: "" });
    remark({ identity: await comparison(file) });
  });
  player.addEventListener("play", movePlayhead);
  player.addEventListener("seeked", movePlayhead);
  player.addEventListener("timeupdate", movePlayhead);
  function lost(said) {
    stage.hidden = true;
    timeline.classList.remove("playing");
    remark({ playing: said });
  }

  player.addEventListener("error", () => lost("This browser cannot play it."));
  const sources = player.querySelectorAll("source");
  if (sources.length > 0) {
    timeline.classList.add("playing");
    const last = sources[sources.length - 1];
    last.addEventListener("error", () => {
      if (!player.currentSrc.startsWith("blob:")) {
        lost("The examined file is not where it was, or this browser cannot play it: choose a copy.");
      }
    });
  }
})();
