// What an analyst says of each segment: kept in the table, drawn in the time line, sent when it is saved.
import { element, send } from "./desk.js";

const decisions = { confirmed: "right", wrong: "wrong", adjusted: "other ends" };

export function openReview(data, player) {
  const form = document.getElementById("review");
  const body = document.getElementById("rows");
  const said = document.getElementById("review-said");
  const rows = data.rows.map((row) => ({ ...row }));
  let changed = false;
  let number = 0;

  // The table.
  function rowElement(row) {
    row.id = ++number;
    row.fields = {};
    const line = element("tr", { id: `row-${row.id}` });
    line.append(streamCell(row), foundCell(row), decisionCell(row, line), timeCell(row, "start"), timeCell(row, "end"));
    return line;
  }

  function name(row) {
    const place = row.found ? `${row.found[0].toFixed(2)} to ${row.found[1].toFixed(2)} s` : "added";
    return `${data.streams[row.stream]}, ${place}`;
  }

  function streamCell(row) {
    const cell = element("td");
    if (row.found) {
      cell.append(data.streams[row.stream]);
      return cell;
    }
    const select = element("select", { "aria-label": "Stream of the added segment" });
    for (const [stream, title] of Object.entries(data.streams)) {
      const option = element("option", { value: stream }, title);
      option.selected = stream === row.stream;
      select.append(option);
    }
    select.addEventListener("change", () => {
      row.stream = select.value;
      touched();
    });
    cell.append(select);
    return cell;
  }

  function foundCell(row) {
    if (!row.found) {
      return element("td", { class: "muted" }, "nothing");
    }
    const label = `${row.found[0].toFixed(2)} to ${row.found[1].toFixed(2)} s`;
    const button = element("button", { type: "button", class: "button", "data-seek": row.found[0] }, label);
    return element("td", {}, button, ` ${row.score.toFixed(2)}`);
  }

  function decisionCell(row, line) {
    if (!row.found) {
      const remove = element("button", { type: "button", class: "button", "aria-label": "Remove the added segment" }, "Remove");
      remove.addEventListener("click", () => {
        rows.splice(rows.indexOf(row), 1);
        line.remove();
        touched();
        document.getElementById("add").focus();
      });
      return element("td", {}, "missed ", remove);
    }
    const group = element("fieldset", {}, element("legend", { class: "hidden" }, `Is it so? ${name(row)}`));
    for (const [value, text] of Object.entries(decisions)) {
      const radio = element("input", { type: "radio", name: `decision-${row.id}`, value });
      radio.checked = row.decision === value;
      radio.addEventListener("change", () => decide(row, value));
      group.append(element("label", {}, radio, ` ${text}`), " ");
    }
    return element("td", {}, group);
  }

  function timeCell(row, which) {
    const index = which === "start" ? 0 : 1;
    const field = element("input", {
      type: "number", min: 0, max: data.duration, step: "any", class: "time", "aria-label": `${which} in seconds: ${name(row)}`,
    });
    field.value = shownTime((row.truth ?? row.found ?? [])[index]);
    field.addEventListener("input", touched);
    const now = element("button", { type: "button", class: "button", "aria-label": `Set the ${which} to where the player is: ${name(row)}` }, "now");
    now.addEventListener("click", () => {
      field.value = shownTime(Math.min(player.currentTime, data.duration));
      touched();
    });
    row.fields[which] = field;
    row.fields[`${which}Now`] = now;
    enable(row);
    return element("td", {}, field, " ", now);
  }

  function shownTime(seconds) {
    return seconds === undefined ? "" : String(Math.round(seconds * 1000) / 1000);
  }

  function enable(row) {
    const fixed = row.found !== null && row.decision !== "adjusted";
    for (const field of Object.values(row.fields)) {
      field.disabled = fixed;
    }
  }

  function decide(row, value) {
    row.decision = value;
    if (value !== "adjusted") {
      row.fields.start.value = shownTime(row.found[0]);
      row.fields.end.value = shownTime(row.found[1]);
    }
    enable(row);
    touched();
    if (value === "adjusted") {
      row.fields.start.focus();
    }
  }

  // What is so, as far as it is said; null for a wrong or undecided segment.
  function truth(row) {
    if (row.decision === "confirmed") {
      return row.found;
    }
    if (row.found && row.decision !== "adjusted") {
      return null;
    }
    const times = [row.fields.start, row.fields.end].map((field) => (field.value === "" ? NaN : Number(field.value)));
    const inside = times[0] >= 0 && times[0] < times[1] && times[1] <= data.duration + 0.001;
    return inside ? [times[0], Math.min(times[1], data.duration)] : undefined;
  }

  // The lanes of the time line.
  function draw() {
    for (const lane of document.querySelectorAll("[data-yours]")) {
      const marks = rows.filter((row) => row.stream === lane.dataset.yours).map(truth).filter(Boolean);
      lane.querySelector("g").replaceChildren(...marks.map(mark));
      lane.querySelector("svg").setAttribute("aria-label", `As corrected: ${marks.length} segments`);
    }
    document.getElementById("no-rows").hidden = rows.length > 0;
  }

  function mark([start, end]) {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const places = { x: start, width: end - start };
    for (const [key, seconds] of Object.entries(places)) {
      rect.setAttribute(key, `${(100 * seconds) / data.duration}%`);
    }
    rect.setAttribute("y", 3);
    rect.setAttribute("height", 20);
    rect.setAttribute("class", "segment");
    rect.setAttribute("data-seek", start);
    return rect;
  }

  function touched() {
    changed = true;
    said.textContent = "";
    draw();
  }

  // Buttons.
  document.getElementById("add").addEventListener("click", () => {
    const start = Math.min(player.currentTime, Math.max(0, data.duration - 0.1));
    const end = Math.min(start + 1, data.duration);
    const row = { stream: Object.keys(data.streams)[0], found: null, decision: "added", truth: [start, end] };
    rows.push(row);
    body.append(rowElement(row));
    touched();
    body.lastElementChild.querySelector("select").focus();
  });

  document.getElementById("confirm-rest").addEventListener("click", () => {
    for (const row of rows.filter((each) => each.found && !each.decision)) {
      document.querySelector(`input[name="decision-${row.id}"][value="confirmed"]`).checked = true;
      decide(row, "confirmed");
    }
  });

  function refuse(text, field) {
    said.textContent = text;
    said.className = "bad";
    field.focus();
  }

  async function save() {
    const complete = document.getElementById("complete").checked;
    const undecided = rows.find((row) => !row.decision);
    const broken = rows.find((row) => truth(row) === undefined);
    const by = document.getElementById("by");
    if (broken) {
      refuse(`${name(broken)}: the start must come before the end, and both lie in the file.`, broken.fields.start);
    } else if (complete && undecided) {
      refuse(`${name(undecided)} is not decided yet; decide it, or untick that this is all.`, document.querySelector(`[name="decision-${undecided.id}"]`));
    } else if (by.value.trim() === "") {
      refuse("Say who you are: the correction carries your name.", by);
    } else {
      await keep(complete, by.value);
    }
  }

  async function keep(complete, by) {
    const judgements = rows
      .filter((row) => row.decision)
      .map((row) => ({ stream: row.stream, decision: row.decision, found: row.found, truth: truth(row) }));
    const note = document.getElementById("note").value;
    try {
      const kept = await send(`/api/clips/${data.sha256}/corrections`, { model: data.model, by, complete, judgements, note });
      changed = false;
      said.className = "good";
      said.textContent = kept.complete
        ? `Saved: the file is in the dataset of corrections, in its ${kept.split} split.`
        : "Saved as a draft: it is shown again here, and not trained on.";
    } catch (error) {
      said.className = "bad";
      said.textContent = error.message;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save();
  });
  for (const id of ["complete", "by", "note"]) {
    document.getElementById(id).addEventListener("input", () => {
      changed = true;
    });
  }
  window.addEventListener("beforeunload", (event) => {
    if (changed) {
      event.preventDefault();
    }
  });

  body.replaceChildren(...rows.map(rowElement));
  draw();
}
