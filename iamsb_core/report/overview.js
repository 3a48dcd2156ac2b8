"use strict";
(() => {
  const body = document.querySelector("tbody");
  const heads = [...document.querySelectorAll("thead button")];
  const compare = {
    number: (a, b) => Number(a) - Number(b),
    text: (a, b) => a.localeCompare(b, undefined, { numeric: true }),
  };
  const sort = (button) => {
    const head = button.parentElement, { key, kind } = button.dataset;
    const first = kind === "number" ? "descending" : "ascending";
    const now = head.getAttribute("aria-sort");
    const next = now === "none" ? first : now === "ascending" ? "descending" : "ascending";
    const turn = next === "ascending" ? 1 : -1;
    const rows = [...body.rows].sort((a, b) => turn * compare[kind](a.dataset[key], b.dataset[key]));
    heads.forEach((other) => other.parentElement.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", next);
    body.append(...rows);
    document.getElementById("sorted").textContent = `Sorted by ${button.textContent}, ${next}`;
  };
  heads.forEach((button) => button.addEventListener("click", () => sort(button)));
})();
