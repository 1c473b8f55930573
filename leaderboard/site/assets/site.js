// Filters, sorting and re-scoring for pages that are whole without it. The view is kept in the address after "#".
"use strict";
(function () {
  const DIGITS = { answers: 1, likelihood: 3 };
  const UNITS = { answers: "points of 100", likelihood: "bits per byte" };
  const REACH = 56; // how far a bar reaches from its middle, in its own units
  const state = () => new URLSearchParams(location.hash.slice(1));
  function keep(values) {
    const text = values.toString();
    history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  }
  function write(value, digits) {
    const text = Math.abs(value).toFixed(digits);
    return (Number(text) === 0 ? "" : value < 0 ? "−" : "+") + text;
  }
  const sign = (figure) => (!figure || !figure[3] ? "unsure" : figure[0] > 0 ? "up" : "down");

  function openBoard(form) {
    const table = document.querySelector("table.board");
    const rows = [...table.querySelectorAll("tr[data-id]")];
    const bodies = rows.map((row) => row.parentElement);
    const data = window.xliftViews;
    const places = new Map(data.rows.map((id, number) => [id, number]));
    const leading = table.dataset.measure;
    const link = document.getElementById("compare");
    const empty = document.getElementById("empty");
    const answer = document.getElementById("answer");
    const badge = table.querySelector("td .badge");
    const chosen = new Set((state().get("rows") || "").split(",").filter((id) => places.has(id)));
    let sort = state().get("sort") || "";
    let falling = state().get("order") === "desc";

    function read() {
      const values = new URLSearchParams();
      for (const [name, value] of new FormData(form)) if (value) values.append(name, value);
      if (sort) values.set("sort", sort);
      if (sort && falling) values.set("order", "desc");
      if (chosen.size) values.set("rows", [...chosen].join(","));
      return values;
    }
    function scope(values) {
      const [measure, benchmark] = (values.get("benchmark") || " ").split(" ");
      return { measure: measure || values.get("measure") || leading, languages: values.getAll("language"), benchmark: benchmark || "" };
    }
    function find({ measure, languages, benchmark }) {
      const views = (languages.length ? languages : ["-"]).map((language) => data.views[[measure, language, benchmark || "-"].join(" ")]);
      return views.length > 1 && views.every(Boolean) ? join(views, languages, measure) : views.length > 1 ? undefined : views[0];
    }

    // Several languages: the mean of their lifts. Its interval is the widest that theirs allow, as if all erred alike, and it counts as
    // significant where each of them is, in one direction. No test of such a choice was made, so nothing is ranked.
    function join(views, languages, measure) {
      const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
      const joined = data.rows.map((_, place) => {
        const lifts = views.map((view) => view.rows[place][2]);
        if (!lifts.every(Boolean)) return [null, 0, null];
        const ends = [0, 1, 2].map((end) => (lifts.every((one) => one[end] !== null) ? mean(lifts.map((one) => one[end])) : null));
        const agree = lifts.every((one) => one[3] && one[0] > 0) || lifts.every((one) => one[3] && one[0] < 0);
        return [null, 0, [...ends, Number(agree)]];
      });
      return { rows: joined, answer: tell(joined, languages, measure) };
    }
    function tell(joined, languages, measure) {
      const names = languages.map((code) => form.querySelector('[name="language"][value="' + CSS.escape(code) + '"]').dataset.name);
      const list = joined.map((one, place) => ({ lift: one[2], row: rows.find((row) => row.dataset.id === data.rows[place]) })).filter((one) => one.lift && one.row);
      const best = list.sort((one, other) => other.lift[0] - one.lift[0])[0];
      const where = "In " + names.slice(0, -1).join(", ") + " and " + names.at(-1) + " together";
      if (!best) return where + " no method has a lift.";
      const [value, low, high] = best.lift.map((end) => (end === null ? "" : write(end, DIGITS[measure])));
      const sure = list.filter((one) => one.lift[3] && one.lift[0] > 0).length;
      return where + ": the largest mean lift is " + value + (low ? " [" + low + ", " + high + "]" : "") + " " + UNITS[measure] + " (" + best.row.querySelector("th").dataset.value + "); " +
        (sure || "no") + " method" + (sure === 1 ? " is" : "s are") + " significantly better than the base in each of them. Several languages are ordered and not ranked; intervals are the widest that those of the languages allow.";
    }

    // Every number below comes from the data of the page's views: each view was tested by itself when the site was built.
    function score(values) {
      const wanted = scope(values);
      const view = find(wanted) || { answer: "", rows: [] };
      const digits = DIGITS[wanted.measure];
      answer.textContent = view.answer || "Nothing was measured with this choice: no benchmark of this kind was asked in this language.";
      const lifts = view.rows.map((row) => row[2]).filter(Boolean);
      const reach = findReach(lifts);
      table.classList.toggle("one-language", wanted.languages.length > 0);
      document.getElementById("units").textContent = UNITS[wanted.measure];
      const whole = wanted.measure === leading && !wanted.languages.length && !wanted.benchmark;
      for (const text of document.querySelectorAll(".of-all")) text.hidden = !whole;
      rows.forEach((row) => {
        const [rank, ties, ...figures] = view.rows[places.get(row.dataset.id)] || [null, 0];
        const cell = row.querySelector("td.rank");
        cell.textContent = rank === null ? "–" : rank + (ties ? "=" : "");
        cell.dataset.value = rank === null ? 999999 : rank;
        fill(row.querySelector("td.lift"), figures[0], digits);
        row.querySelectorAll("td.kind").forEach((one, index) => fill(one, figures[index + 1], digits));
        draw(row.querySelector("td.bars"), figures[0], reach);
        row.parentElement.classList.toggle("unmeasured", Boolean(wanted.languages.length || wanted.benchmark) && rank === null && !figures[0]);
      });
      shade(wanted);
    }
    function fill(cell, figure, digits) {
      if (!figure) {
        cell.replaceChildren("–");
        delete cell.dataset.value;
        return;
      }
      const value = document.createElement("b");
      value.textContent = write(figure[0], digits);
      cell.replaceChildren(value);
      if (figure[1] !== null) {
        const ends = document.createElement("small");
        ends.textContent = "[" + write(figure[1], digits) + ", " + write(figure[2], digits) + "]";
        cell.append(" ", ends);
        if (cell.parentElement.dataset.seeds === "1" && cell.classList.contains("lift")) cell.append(" ", badge.cloneNode(true));
      }
      cell.dataset.value = figure[0];
    }
    function findReach(lifts) { // as find_reach of drawings.py
      const ends = lifts.map((one) => Math.max(...one.slice(0, 3).map((end) => Math.abs(end || 0)))).sort((a, b) => a - b);
      if (!ends.length) return 1;
      const usual = ends[Math.floor((3 * ends.length - 1) / 4)] || ends[ends.length - 1];
      return Math.max(...ends.filter((end) => end <= 3 * usual)) || 1;
    }
    function draw(cell, figure, reach) {
      if (!figure) { cell.replaceChildren(); return; }
      const ends = [figure[0], figure[1] ?? figure[0], figure[2] ?? figure[0]];
      const [value, low, high] = ends.map((one) => REACH * Math.min(Math.max(one / reach, -1), 1));
      const tip = value < 0 ? -4.5 : 4.5;
      const point = Math.abs(figure[0]) > reach
        ? shape("path", { class: "beyond", d: `M${value + tip} 0L${value - tip}-5V5Z` }) : shape("circle", { cx: value, r: 4.5 });
      cell.replaceChildren(shape("svg", { class: "bar " + sign(figure), viewBox: "-60 -8 120 16", "aria-hidden": "true" },
        shape("path", { class: "zero", d: "M0-8V8" }), shape("rect", { x: low, y: -3, width: high - low, height: 6, rx: 3 }), point));
    }
    function shape(name, attributes, ...inside) {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      made.append(...inside);
      return made;
    }
    function shade(wanted) {
      for (const map of document.querySelectorAll("table.heat")) {
        const measure = map.dataset.measure;
        map.closest(".map").hidden = Boolean(wanted.benchmark) && measure !== wanted.measure;
        for (const cell of map.querySelectorAll("td[data-language]")) {
          const language = cell.dataset.language;
          const view = find({ measure, languages: [language], benchmark: measure === wanted.measure ? wanted.benchmark : "" });
          const row = cell.parentElement.dataset.row;
          const figure = view && view.rows[places.get(row)][2];
          const anchor = cell.querySelector("a");
          const size = figure ? Math.abs(figure[0]) * (measure === "likelihood" ? 100 : 1) : 0;
          const step = [2, 5, 10].filter((edge) => size >= edge).length;
          const kept = cell.classList.contains("astray") ? " astray" : "";
          cell.className = (!figure ? "none" : !step ? "h0" : (figure[0] > 0 ? "up" : "down") + step) + (figure && figure[3] ? " sure" : "") + kept;
          cell.classList.toggle("chosen", wanted.languages.includes(language));
          anchor.textContent = figure ? write(figure[0], DIGITS[measure]) : "–";
          anchor.setAttribute("aria-label", describe(cell, figure, DIGITS[measure]));
        }
      }
    }
    function describe(cell, figure, digits) {
      const language = cell.closest("table").tHead.rows[0].cells[cell.cellIndex].querySelector("a").textContent;
      const place = cell.parentElement.cells[0].textContent.trim() + ", " + language + ": ";
      if (!figure) return place + "not measured";
      const interval = figure[1] === null ? "" : ", 95 % interval " + write(figure[1], digits) + " to " + write(figure[2], digits);
      const told = figure[1] === null ? ", no test" : figure[3] ? ", significant" : ", not told from the base";
      return place + write(figure[0], digits) + interval + told + (cell.classList.contains("astray") ? "; most answers are in another language" : "");
    }

    // The languages that were chosen, on what opens their list.
    function name() {
      const list = form.querySelector(".pick");
      if (!list) return;
      const names = [...list.querySelectorAll("input:checked")].map((one) => one.dataset.name);
      list.querySelector("b").textContent = names.length > 2 ? names.length + " chosen" : names.join(", ") || "all";
    }
    function show() {
      const values = read();
      score(values);
      name();
      const words = (values.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const name = row.dataset.name.toLowerCase();
        const fits = words.every((word) => name.includes(word)) && !(values.get("smoke") === "hide" && row.dataset.smoke === "yes") &&
          !row.parentElement.classList.contains("unmeasured");
        row.parentElement.hidden = !fits;
        shown += fits ? 1 : 0;
      }
      for (const line of document.querySelectorAll("table.heat tr[data-row]")) {
        const row = rows[places.get(line.dataset.row)];
        line.hidden = row.parentElement.hidden && !row.parentElement.classList.contains("unmeasured");
      }
      arrange();
      form.querySelector("output").textContent = shown + " of " + rows.length + " rows";
      empty.hidden = shown > 0;
      table.closest(".scroll").hidden = shown === 0;
      link.hidden = chosen.size < 2 || chosen.size > 4;
      link.href = link.href.split("#")[0] + "#rows=" + [...chosen].join(",");
      keep(values);
    }
    function arrange() {
      const heads = [...table.tHead.rows[0].cells];
      const column = heads.findIndex((head) => head.dataset.sort === sort);
      heads.forEach((head, index) => {
        if (index === column) head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      const rank = (row) => Number(row.querySelector("td.rank").dataset.value);
      const lift = (row) => Number(row.querySelector("td.lift").dataset.value ?? -Infinity);
      const order = [...rows].sort((one, other) => {
        if (column >= 0) {
          const [a, b] = [one, other].map((row) => row.cells[column].dataset.value ?? "");
          if ((a === "") !== (b === "")) return a === "" ? 1 : -1;
          const difference = a !== "" && !isNaN(a) && !isNaN(b) ? a - b : a.localeCompare(b);
          if (difference) return falling ? -difference : difference;
        }
        const changed = form.querySelector('[name="language"]:checked') || form.elements.benchmark?.value || form.elements.measure?.value;
        const apart = changed ? rank(one) - rank(other) || lift(other) - lift(one) : 0;
        return apart || rows.indexOf(one) - rows.indexOf(other);
      });
      table.append(...order.map((row) => row.parentElement));
    }
    function load() {
      const values = state();
      for (const field of form.elements) {
        if (field.type === "checkbox") field.checked = values.getAll(field.name).includes(field.value);
        else if (field.name) field.value = values.get(field.name) || "";
        if (field.name && field.tagName === "SELECT" && field.selectedIndex < 0) field.value = "";
      }
    }

    for (const head of table.tHead.rows[0].querySelectorAll("th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        falling = sort === head.dataset.sort ? !falling : !["rank", "name", "cost"].includes(head.dataset.sort);
        sort = head.dataset.sort;
        show();
      });
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
    const go = form.querySelector("select[data-go]");
    if (go) go.addEventListener("change", (event) => { event.stopPropagation(); location.href = go.value + location.hash; });
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => { sort = ""; falling = false; setTimeout(() => { if (go) go.value = [...go.options].find((one) => one.defaultSelected).value; show(); }); });
    empty.querySelector("button").addEventListener("click", () => form.reset());
    form.hidden = false;
    load();
    const list = form.querySelector(".pick");
    if (list) {
      document.addEventListener("click", (event) => { if (!list.contains(event.target)) list.open = false; });
      list.addEventListener("keydown", (event) => { if (event.key === "Escape") { list.open = false; list.querySelector("summary").focus(); } });
    }
    if (location.hash.includes("=")) show();
    else form.querySelector("output").textContent = rows.length + " of " + rows.length + " rows";
    addEventListener("hashchange", () => {
      if (location.hash && !location.hash.includes("=")) return;
      sort = state().get("sort") || "";
      falling = state().get("order") === "desc";
      load();
      show();
    });
  }

  // One cell of a map takes the focus; arrows, Home and End move it, and the line below says what the cell holds.
  function openMap(table) {
    const told = table.closest(".map").querySelector(".told");
    const lines = () => [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => [...row.querySelectorAll("td a")]);
    const all = [...table.querySelectorAll("td a")];
    all.forEach((one, number) => { one.tabIndex = number ? -1 : 0; });
    function move(target) {
      if (!target) return;
      for (const one of all) one.tabIndex = -1;
      target.tabIndex = 0;
      target.focus();
    }
    table.addEventListener("keydown", (event) => {
      const anchor = event.target.closest("td a");
      if (!anchor) return;
      const grid = lines();
      const line = grid.findIndex((cells) => cells.includes(anchor));
      const column = grid[line].indexOf(anchor);
      const steps = {
        ArrowRight: () => grid[line][column + 1], ArrowLeft: () => grid[line][column - 1], Home: () => grid[line][0], End: () => grid[line].at(-1),
        ArrowDown: () => grid[line + 1]?.[column], ArrowUp: () => grid[line - 1]?.[column],
      };
      if (!steps[event.key]) return;
      event.preventDefault();
      move(steps[event.key]());
    });
    for (const kind of ["focusin", "mouseover"]) {
      table.addEventListener(kind, (event) => {
        const anchor = event.target.closest("td")?.querySelector("a");
        if (anchor) told.textContent = anchor.getAttribute("aria-label");
      });
    }
  }

  // The page of all bases: sizes and methods are chosen, and the address holds the choice.
  function openSizes(form) {
    const lines = [...document.querySelectorAll("tr[data-size]")];
    function show() {
      const values = new URLSearchParams();
      for (const [name, value] of new FormData(form)) if (value) values.append(name, value);
      const sizes = values.getAll("size");
      const words = (values.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
      for (const line of lines) {
        const name = line.dataset.name.toLowerCase();
        line.hidden = (sizes.length > 0 && !sizes.includes(line.dataset.size)) || !words.every((word) => name.includes(word));
      }
      for (const part of document.querySelectorAll(".multiples section")) part.hidden = !part.querySelector("tr[data-size]:not([hidden])");
      const shown = lines.filter((line) => !line.hidden).length;
      form.querySelector("output").textContent = shown ? shown + " of " + lines.length + " lifts" : "No lift is left with this choice.";
      keep(values);
    }
    function load() {
      const values = state();
      for (const field of form.elements) {
        if (field.type === "checkbox") field.checked = values.getAll(field.name).includes(field.value);
        else if (field.name) field.value = values.get(field.name) || "";
      }
      show();
    }
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(show));
    addEventListener("hashchange", load);
    form.hidden = false;
    load();
  }

  // The page of languages: a name is found among those that were measured and those that were not.
  function openFinder(form) {
    const entries = [...document.querySelectorAll("[data-name]")];
    const rest = document.querySelector(".gaps");
    function show() {
      const words = new FormData(form).get("q").toLowerCase().split(/\s+/).filter(Boolean);
      for (const entry of entries) entry.hidden = !words.every((word) => entry.dataset.name.toLowerCase().includes(word));
      const left = entries.filter((entry) => !entry.hidden);
      if (rest) rest.open = words.length > 0 && left.some((entry) => rest.contains(entry));
      if (left.length === 1 && left[0].tagName === "DETAILS") left[0].open = true;
      form.querySelector("output").textContent = !words.length ? "" : left.length ? left.length + (left.length === 1 ? " language" : " languages") : "No language of this name has a benchmark here.";
    }
    function open() {
      const found = location.hash && document.getElementById(location.hash.slice(1));
      if (!found || found.tagName !== "DETAILS") return;
      if (rest) rest.open = true;
      found.open = true;
      found.scrollIntoView();
    }
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    addEventListener("hashchange", open);
    form.hidden = false;
    open();
  }

  function openSamples(form) {
    const articles = [...document.querySelectorAll("article")];
    // Prompts, references and the base's answers are in a file that all models share, as the site wrote them: safe to show.
    for (const article of articles) {
      const link = article.querySelector(".asked");
      const texts = link && window.xliftTexts && window.xliftTexts[article.id];
      if (!texts) continue;
      article.querySelector("dl").insertAdjacentHTML("afterbegin", texts);
      link.remove();
    }
    const texts = new Map();
    function text(article) {
      if (!texts.has(article)) texts.set(article, article.textContent.toLowerCase());
      return texts.get(article);
    }
    function show() {
      const values = new FormData(form);
      const wanted = values.getAll("mark");
      const words = values.get("q").toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const article of articles) {
        const marks = article.dataset.marks.split(" ");
        article.hidden = !wanted.every((mark) => marks.includes(mark)) || !words.every((word) => text(article).includes(word));
        shown += article.hidden ? 0 : 1;
      }
      form.querySelector("output").textContent = shown + " of " + articles.length + " on this page";
    }
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    show();
  }

  const filters = document.getElementById("filters");
  const marks = document.getElementById("marks");
  for (const table of document.querySelectorAll("table.heat[data-measure]")) openMap(table);
  if (filters && window.xliftViews) openBoard(filters);
  if (marks) openSamples(marks);
  for (const [id, open] of [["sizes", openSizes], ["finder", openFinder]]) {
    const form = document.getElementById(id);
    if (form) open(form);
  }
})();
