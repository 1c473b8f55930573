// The page of comparisons: rows are picked, and two of them are set beside each other item by item.
"use strict";
(function () {
  const MOST = 5; // items of a task that are named
  const [WIDTH, HEIGHT, SIDE, BASE, STEP] = [600, 112, 24, 84, 9]; // of a strip; a dot takes a place as wide as STEP
  const SVG = "http://www.w3.org/2000/svg";
  const picker = document.getElementById("picker");
  const fields = [...picker.querySelectorAll("select")];
  const known = new Set([...picker.querySelectorAll("option")].map((one) => one.value).filter(Boolean));
  const section = document.getElementById("items");
  const pick = () => (new URLSearchParams(location.hash.slice(1)).get("rows") || "").split(",").filter((id) => known.has(id));

  function show() {
    const rows = pick();
    const chosen = new Set(rows);
    const wanted = (id) => !chosen.size || chosen.has(id);
    fields.forEach((field, number) => { field.value = rows[number] || ""; });
    for (const cell of document.querySelectorAll(".comparison [data-id]")) cell.hidden = !wanted(cell.dataset.id);
    for (const row of document.querySelectorAll("[data-pair]")) row.hidden = !row.dataset.pair.split(" ").every(wanted);
    for (const part of document.querySelectorAll(".comparison")) part.hidden = !part.querySelector("[data-id]:not([hidden])");
    document.getElementById("apart").hidden = !(chosen.size > 1 && document.querySelectorAll(".comparison:not([hidden])").length > 1);
    section.hidden = chosen.size !== 2;
    if (chosen.size === 2) Promise.all(rows.slice(0, 2).map(load)).then(() => compare(rows[0], rows[1]));
  }

  // A script, since a page that lies on a disk may not read a file in another way.
  function load(id) {
    return new Promise((resolve) => {
      if (window.xliftItems && window.xliftItems[id]) { resolve(); return; }
      const made = document.createElement("script");
      made.src = "data/items/" + id + ".js";
      made.addEventListener("load", resolve);
      made.addEventListener("error", resolve);
      document.head.append(made);
    });
  }

  function compare(first, second) {
    if (pick().join(",") !== [first, second].join(",")) return;
    const [ours, theirs] = [first, second].map((id) => (window.xliftItems || {})[id]);
    const strips = section.querySelector(".strips");
    const parts = [];
    for (const task of ours ? ours.tasks : []) {
      const other = theirs && theirs.tasks.find((one) => one[0] === task[0] && one[4] === task[4]);
      const items = other ? subtract(task, other) : [];
      if (items.length) parts.push(draw(task, other, items, ours.label, theirs.label));
    }
    strips.replaceChildren(...parts);
    section.querySelector("p").textContent = parts.length
      ? ours.label + " minus " + theirs.label + ": each dot is an item, to the right where " + ours.label + " is better. The tall line is the mean. Scores are means over seeds." + (ours.tasks.some((task) => task[7]) ? "" : " Items go by their numbers in the benchmark, as a record has no texts.")
      : "These rows have no task that both did on the same items under the same settings.";
  }

  function subtract(task, other) {
    const ids = (one) => one[5] || one[6].map((_, number) => number);
    const theirs = new Map(ids(other).map((id, number) => [id, other[6][number]]));
    return ids(task).map((id, place) => ({ id, place, ours: task[6][place], theirs: theirs.get(id) ?? null }))
      .filter((one) => one.ours !== null && one.theirs !== null)
      .map((one) => ({ ...one, value: task[3][1] * (one.ours - one.theirs) }));
  }

  function draw(task, other, items, name, against) {
    const [, title, unit, [digits]] = task;
    const sign = (value) => (Number(Math.abs(value).toFixed(digits)) === 0 ? "" : value < 0 ? "−" : "+");
    const write = (value) => sign(value) + Math.abs(value).toFixed(digits);
    const plain = (value) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
    const ahead = items.filter((one) => sign(one.value) === "+").length;
    const behind = items.filter((one) => sign(one.value) === "−").length;
    const mean = items.reduce((sum, one) => sum + one.value, 0) / items.length;
    const text = name + " is ahead on " + ahead + " of " + items.length + " items and behind on " + behind + "; the mean difference is " + write(mean) + " " + unit;
    const part = make("section", { class: "strip" }, make("h3", {}, title), make("p", {}, text + "."), plot(items, mean, write, text));
    const far = items.filter((one) => sign(one.value)).sort((one, two) => Math.abs(two.value) - Math.abs(one.value) || one.place - two.place).slice(0, MOST);
    if (far.length) {
      const list = far.map((one) => make("li", {}, "item " + one.id + ": " + plain(one.ours) + " against " + plain(one.theirs) + " (" + write(one.value) + ")", ...link(task, one, name), ...link(other, one, against)));
      part.append(make("details", {}, make("summary", {}, "Items that differ most"), make("ol", {}, ...list)));
    }
    return part;
  }

  function link(task, item, label) {
    if (!task[7]) return [];
    const ids = task[5] || task[6].map((_, number) => number);
    const page = Math.floor((ids.indexOf(item.id) * task[7][1]) / 50) + 1;
    return [" ", make("a", { href: task[7][0] + page + ".html#doc-" + item.id }, "answer of " + label)];
  }

  function plot(items, mean, write, text) {
    const reach = Math.max(...items.map((one) => Math.abs(one.value))) || 1;
    const across = (value) => WIDTH / 2 + ((WIDTH / 2 - SIDE) * value) / reach;
    const columns = new Map();
    for (const one of items) {
      const column = Math.round(across(one.value) / STEP);
      columns.set(column, [...(columns.get(column) || []), one]);
    }
    const tallest = Math.max(...[...columns.values()].map((column) => column.length));
    const step = Math.min(STEP, (BASE - 12) / tallest);
    const drawn = shape("svg", { class: "chart dots", viewBox: "0 0 " + WIDTH + " " + HEIGHT, role: "img", "aria-label": text });
    drawn.append(shape("path", { class: "grid", d: "M0 " + BASE + "H" + WIDTH }), shape("path", { class: "zero", d: "M" + WIDTH / 2 + " 0V" + (BASE + 6) }));
    for (const [column, members] of columns) {
      members.forEach((one, number) => {
        const kind = write(one.value)[0] === "+" ? "up" : write(one.value)[0] === "−" ? "down" : "unsure";
        const dot = shape("circle", { class: kind, cx: column * STEP, cy: (BASE - 5 - number * step).toFixed(1), r: 3.6 });
        dot.append(shape("title", {}, "item " + one.id + ": " + write(one.value)));
        drawn.append(dot);
      });
    }
    drawn.append(shape("path", { class: "mean", d: "M" + across(mean).toFixed(1) + " 4V" + (BASE + 6) }));
    for (const [value, anchor] of [[-reach, "start"], [0, "middle"], [reach, "end"]]) {
      drawn.append(shape("text", { x: value ? across(value) + (value < 0 ? -SIDE : SIDE) : across(0), y: HEIGHT - 8, "text-anchor": anchor }, write(value)));
    }
    return drawn;
  }

  function fill(made, attributes, inside) {
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...inside);
    return made;
  }
  const make = (name, attributes, ...inside) => fill(document.createElement(name), attributes, inside);
  const shape = (name, attributes, ...inside) => fill(document.createElementNS(SVG, name), attributes, inside);

  picker.addEventListener("change", () => {
    const wanted = [...new Set(fields.map((field) => field.value).filter(Boolean))];
    location.hash = wanted.length ? "rows=" + wanted.join(",") : "";
  });
  addEventListener("hashchange", show);
  picker.hidden = false;
  show();
})();
