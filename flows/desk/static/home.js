// Take in a file, chosen or dropped, and go on to its page.
import { send } from "./desk.js";

const form = document.getElementById("intake");
const input = document.getElementById("file");
const drop = document.getElementById("drop");
const said = document.getElementById("intake-said");
const progress = document.getElementById("intake-progress");
let busy = false;

function upload(file) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much has been sent
    request.open("POST", `/api/clips?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      progress.value = event.lengthComputable ? event.loaded / event.total : 0;
    });
    request.addEventListener("load", () => {
      if (request.status === 200) {
        resolve(request.response);
      } else {
        reject(new Error(request.response?.error || `the desk answered ${request.status}`));
      }
    });
    request.addEventListener("error", () => reject(new Error("the desk does not answer; is it still open?")));
    request.send(file);
  });
}

async function take(file) {
  if (busy || input.disabled) {
    return;
  }
  if (file.size > Number(form.dataset.mostBytes)) {
    said.textContent = `${file.name} is larger than this desk takes; open it with a larger --max-upload-gib.`;
    return;
  }
  busy = true;
  progress.hidden = false;
  said.textContent = `Taking in ${file.name}`;
  const chosen = [document.getElementById("model").value, document.getElementById("other").value].filter(Boolean);
  try {
    const kept = await upload(file);
    await send(`/api/clips/${kept.sha256}/examinations`, { models: [...new Set(chosen)] });
    const beside = chosen.length > 1 && chosen[0] !== chosen[1] ? `&with=${chosen[1]}` : "";
    window.location.assign(`${kept.address}?model=${chosen[0]}${beside}`);
  } catch (error) {
    said.textContent = `${file.name}: ${error.message}`;
    progress.hidden = true;
    busy = false;
    input.value = "";
  }
}

input.addEventListener("change", () => input.files.length > 0 && take(input.files[0]));
form.addEventListener("submit", (event) => event.preventDefault());
for (const name of ["dragenter", "dragover"]) {
  window.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
window.addEventListener("dragleave", (event) => event.relatedTarget === null && drop.classList.remove("over"));
window.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const files = event.dataTransfer.files;
  if (files.length > 1) {
    said.textContent = "One file at a time, please.";
  } else if (files.length === 1) {
    take(files[0]);
  }
});
