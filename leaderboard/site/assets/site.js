// Filters and sorting for pages that are whole without it. The view is kept in the address after "#".
"use strict";
(function () {
  const state = () => new URLSearchParams(location.hash.slice(1));
  function keep(values) {
    const text = values.toString();
    history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  }

  function openIndex(form) {
    const tables = [...document.querySelectorAll("table.board")];
    const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
    const order = new Map(rows.map((row, index) => [row, index]));
    const link = document.getElementById("compare");
    const chosen = new Set((state().get("rows") || "").split(",").filter(Boolean));
    let sort = state().get("sort") || "";
    let falling = state().get("order") === "desc";

    function read() {
      const values = new URLSearchParams();
      for (const [name, value] of new FormData(form)) if (value) values.set(name, value);
      if (sort) values.set("sort", sort);
      if (sort && falling) values.set("order", "desc");
      if (chosen.size) values.set("rows", [...chosen].join(","));
      return values;
    }
    function fits(row, values) {
      const holds = (name) => !values.get(name) || (row.dataset[name] || "").split(" ").includes(values.get(name));
      const equal = (name) => !values.get(name) || row.dataset[name] === values.get(name);
      return equal("base") && equal("method") && holds("judge") && holds("trained") && holds("evaluated") && holds("benchmark") &&
        !(values.get("smoke") === "hide" && row.dataset.smoke === "yes");
    }
    function show() {
      const values = read();
      let shown = 0;
      for (const row of rows) { row.hidden = !fits(row, values); shown += row.hidden ? 0 : 1; }
      for (const table of tables) {
        [...table.tHead.rows[0].cells].forEach((head, index) => {
          const away = Boolean(head.dataset.benchmark && values.get("benchmark") && head.dataset.benchmark !== values.get("benchmark"));
          for (const row of table.rows) row.cells[index].hidden = away;
        });
        arrange(table);
      }
      form.querySelector("output").textContent = shown + " of " + rows.length + " rows";
      link.hidden = chosen.size < 2 || chosen.size > 4;
      link.href = "compare.html#rows=" + [...chosen].join(",");
      keep(values);
    }
    function arrange(table) {
      const heads = [...table.tHead.rows[0].cells];
      const column = heads.findIndex((head) => head.dataset.sort === sort);
      heads.forEach((head, index) => {
        if (index === column) head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      const body = table.tBodies[0];
      const value = (row) => { const cell = row.cells[column]; return cell.dataset.value ?? (cell.className === "words" ? cell.textContent.trim() : ""); };
      body.append(...[...body.rows].sort((one, other) => {
        if (column >= 0) {
          const [a, b] = [value(one), value(other)];
          if ((a === "") !== (b === "")) return a === "" ? 1 : -1;
          const difference = a !== "" && !isNaN(a) && !isNaN(b) ? a - b : a.localeCompare(b);
          if (difference) return falling ? -difference : difference;
        }
        return order.get(one) - order.get(other);
      }));
    }
    function load() {
      const values = state();
      for (const field of form.elements) {
        if (field.type === "checkbox") field.checked = values.get(field.name) === field.value;
        else if (field.name) field.value = values.get(field.name) || "";
      }
    }

    for (const table of tables) {
      for (const head of table.tHead.rows[0].cells) {
        const button = document.createElement("button");
        const anchor = head.querySelector("a");
        button.type = "button";
        button.textContent = (anchor || head).textContent;
        if (anchor) { anchor.textContent = "page"; anchor.setAttribute("aria-label", "Page of " + button.textContent); head.append(" ", anchor); head.prepend(button); }
        else head.replaceChildren(button);
        button.addEventListener("click", () => {
          falling = sort === head.dataset.sort ? !falling : !["rank", "name", "base", "trained", "device", "help"].includes(head.dataset.sort);
          sort = head.dataset.sort;
          show();
        });
      }
    }
    for (const row of rows) {
      const label = document.createElement("label");
      const box = document.createElement("input");
      label.className = "check";
      box.type = "checkbox";
      box.checked = chosen.has(row.dataset.id);
      box.setAttribute("aria-label", "Compare " + row.querySelector("th").dataset.value);
      box.addEventListener("change", () => { box.checked ? chosen.add(row.dataset.id) : chosen.delete(row.dataset.id); show(); });
      label.append(box);
      row.querySelector("th").prepend(label);
    }
    form.addEventListener("change", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => { sort = ""; falling = false; setTimeout(show); });
    form.hidden = false;
    load();
    if (location.hash.includes("=") || !location.hash) show();
    addEventListener("hashchange", () => { if (location.hash.includes("=")) { sort = state().get("sort") || ""; falling = state().get("order") === "desc"; load(); show(); } });
  }

  function openSamples(form) {
    const articles = [...document.querySelectorAll("article")];
    function show() {
      const wanted = new FormData(form).getAll("mark");
      let shown = 0;
      for (const article of articles) {
        const marks = article.dataset.marks.split(" ");
        article.hidden = !wanted.every((mark) => marks.includes(mark));
        shown += article.hidden ? 0 : 1;
      }
      form.querySelector("output").textContent = shown + " of " + articles.length + " on this page";
    }
    form.addEventListener("change", show);
    form.hidden = false;
    show();
  }

  function openCompare() {
    const chosen = new Set((state().get("rows") || "").split(",").filter(Boolean));
    if (!chosen.size) return;
    for (const cell of document.querySelectorAll(".comparison [data-id]")) cell.hidden = !chosen.has(cell.dataset.id);
    for (const row of document.querySelectorAll("[data-pair]")) row.hidden = !row.dataset.pair.split(" ").every((id) => chosen.has(id));
    for (const part of document.querySelectorAll(".comparison")) part.hidden = !part.querySelector("[data-id]:not([hidden])");
  }

  const index = document.getElementById("filters");
  const marks = document.getElementById("marks");
  if (index) openIndex(index);
  if (marks) openSamples(marks);
  if (document.querySelector(".comparison")) { openCompare(); addEventListener("hashchange", () => location.reload()); }
})();
